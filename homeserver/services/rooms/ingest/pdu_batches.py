"""The first checks of many received PDUs: pure functions over a batch, which may run on a thread.

https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.protocol.canonical_json import decode
from homeserver.protocol.errors import InvalidEvent, MatrixError
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from homeserver.protocol.receipt_checks import ServerKeys, check_signatures, wanted_keys, whole_or_redacted
from homeserver.protocol.room_versions import RoomVersion

AT_ONCE = 200
"""PDUs of a batch: to read one, and to check it, takes a good part of a millisecond each."""
FEW = 10
"""So many are checked where they are: to hand them to a thread costs as much as one of them."""


@dataclass(frozen=True, slots=True)
class PdusOf:
    """What PDUs are to be events of: a room (None: any) of a version.

    Old rooms have events with more references than are allowed today: in the state and the auth chain of a room they
    are let through (`limit_references` False).
    """

    room_id: RoomID | None
    version: RoomVersion
    limit_references: bool = True


@dataclass(slots=True)
class Read:
    """PDUs that are events: those (by ID), which keys of whom they are signed with (and when at the latest), and what
    each PDU was, None for one that is no event of the room.
    """

    events: dict[EventID, Event] = field(default_factory=dict)
    wanted: dict[ServerName, dict[str, int]] = field(default_factory=dict)
    given: list[EventID | None] = field(default_factory=list)


def read(of: PdusOf, pdus: Iterable[Any]) -> Read:
    """Read PDUs; those given as bytes are JSON yet."""
    result = Read()
    for pdu in pdus:
        try:
            event = _event(of, pdu)
            if event.event_id not in result.events:
                _want(result.wanted, event)
                result.events[event.event_id] = event
            result.given.append(event.event_id)
        except MatrixError:
            result.given.append(None)
    return result


def verify(events: Sequence[Event], keys: ServerKeys) -> list[Event | str]:
    """Each of the events if it is properly signed, redacted if its content is not what was hashed; else why not."""
    return [_verified(event, keys) for event in events]


def _event(of: PdusOf, pdu: Any) -> Event:
    value = decode(pdu) if isinstance(pdu, bytes) else pdu
    event = parse_pdu(value, of.version, limit_references=of.limit_references)
    if of.room_id is not None and event.room_id != of.room_id:
        raise InvalidEvent("The event is of another room")
    return event


def _want(wanted: dict[ServerName, dict[str, int]], event: Event) -> None:
    timestamp = event.origin_server_ts
    for server, key_ids in wanted_keys(event).items():
        keys = wanted.setdefault(server, {})
        for key_id in key_ids:
            keys[key_id] = max(timestamp, keys.get(key_id, timestamp))


def _verified(event: Event, keys: ServerKeys) -> Event | str:
    try:
        check_signatures(event, keys)
    except MatrixError as error:
        return error.message
    return whole_or_redacted(event)
