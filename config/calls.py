"""What calls between clients need of the server."""

from dataclasses import dataclass
from typing import Literal

from config.fields import setting
from config.values import Milliseconds, check_base_url

DAY_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedEventsConfig:
    """Events that clients schedule (MSC4140): by them somebody who lost the connection leaves a call."""

    max_delay_ms: Milliseconds = setting(
        "The longest time that an event may be scheduled ahead.",
        default=Milliseconds(DAY_MS),
        minimum=1_000,
        maximum=366 * DAY_MS,
    )
    max_scheduled: int = setting(
        "The most events that a user may have scheduled at a time. 0: nobody may schedule any, and clients are "
        "told that there is no such thing.",
        default=100,
        minimum=0,
        maximum=10_000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RtcTransport:
    """A service that carries calls of more than two."""

    type: Literal["livekit"] = setting("What kind of service it is.", default="livekit")
    livekit_service_url: str = setting(
        "Where clients ask for access to a LiveKit server (the address of its lk-jwt-service).",
        check=check_base_url,
        example="https://livekit.example.org/",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRtcConfig:
    """Calls of any number of people (MatrixRTC, as Element Call makes them)."""

    transports: tuple[RtcTransport, ...] = setting(
        "The services that carry the calls of our users, the preferred one first. Empty: clients look elsewhere "
        "or make no such calls.",
        default=(),
        example="\n    - {livekit_service_url: https://livekit.example.org/}",
    )
