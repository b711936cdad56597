"""Connections to others than Matrix servers."""

from dataclasses import dataclass

from config.fields import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundConfig:
    """Requests to others than Matrix servers: identity servers, say. Which addresses they may go to is said under
    `federation`.
    """

    verify_tls: bool = setting(
        "Check their certificates. Off: anyone on the way can read and change what is said.", default=True
    )
