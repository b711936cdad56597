"""Push notifications."""

from dataclasses import dataclass

from config.fields import setting
from config.values import Milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PushConfig:
    """Telling phones, over the push gateways of their apps, what happened. Which addresses gateways may have is said
    under `federation`.
    """

    enabled: bool = setting("Push at all. What happens while it is off is pushed no more.", default=True)
    include_content: bool = setting(
        "Give gateways what was said, who said it and where, unless the app asks for less. Off: they get the IDs of "
        "event and room, and the app has to look.",
        default=True,
    )
    allow_http: bool = setting(
        "Accept gateways without TLS, whose pushes anyone on the way can read. For gateways on this machine.",
        default=False,
    )
    give_up_after_ms: Milliseconds = setting(
        "What could not be pushed for so long is pushed no more.",
        default=Milliseconds(24 * 3_600_000),
        minimum=60_000,
    )
    pushers_per_user: int = setting("The most pushers of one user.", default=100, minimum=1, maximum=10_000)
    requests_per_gateway: int = setting(
        "How many requests may be under way to one gateway.", default=8, minimum=1, maximum=100
    )
