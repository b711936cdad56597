"""The state of a room before an event.

https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1stateroomid
"""

from typing import Final

import msgspec

from federation.wire.route import MIB, Pdus, Route


class AtEvent(msgspec.Struct, frozen=True):
    """The event before which the state is asked for."""

    event_id: str


class RoomState(msgspec.Struct, frozen=True):
    """The state, and its whole auth chain."""

    pdus: Pdus
    auth_chain: Pdus


class RoomStateIDs(msgspec.Struct, frozen=True):
    """The same as event IDs."""

    pdu_ids: list[str]
    auth_chain_ids: list[str]


STATE: Final = Route(
    "GET",
    "/_matrix/federation/v1/state/{room_id}",
    RoomState,
    query=AtEvent,
    lists=("pdus", "auth_chain"),
    max_answer_bytes=512 * MIB,
    timeout_s=600.0,
)
STATE_IDS: Final = Route(
    "GET",
    "/_matrix/federation/v1/state_ids/{room_id}",
    RoomStateIDs,
    query=AtEvent,
    max_answer_bytes=64 * MIB,
    timeout_s=120.0,
)
