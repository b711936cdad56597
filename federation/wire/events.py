"""Single events, what authorises them, and events by date.

https://spec.matrix.org/v1.19/server-server-api/#retrieving-events
"""

from typing import Final, Literal

import msgspec

from federation.wire.route import MIB, Pdus, Route


class EventAnswer(msgspec.Struct, frozen=True):
    """A transaction of a single PDU."""

    pdus: Pdus
    origin: str = ""
    origin_server_ts: int = 0


class AuthChain(msgspec.Struct, frozen=True):
    """The whole auth chain of an event, the event itself left out."""

    auth_chain: Pdus


class Moment(msgspec.Struct, frozen=True):
    """A point in time (ms) and on which side of it to look."""

    ts: int
    dir: Literal["f", "b"]


class EventAtMoment(msgspec.Struct, frozen=True):
    """The event closest to a moment."""

    event_id: str
    origin_server_ts: int


EVENT: Final = Route("GET", "/_matrix/federation/v1/event/{event_id}", EventAnswer)
EVENT_AUTH: Final = Route(
    "GET",
    "/_matrix/federation/v1/event_auth/{room_id}/{event_id}",
    AuthChain,
    lists=("auth_chain",),
    max_answer_bytes=64 * MIB,
    timeout_s=120.0,
)
TIMESTAMP_TO_EVENT: Final = Route(
    "GET", "/_matrix/federation/v1/timestamp_to_event/{room_id}", EventAtMoment, query=Moment
)
