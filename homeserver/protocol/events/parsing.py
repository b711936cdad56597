"""Reading a PDU that somebody else made: whether it is an event at all.

This is the first of the checks on receipt, "is a valid event, otherwise it is dropped". Everything
from outside is hostile until it has passed here; afterwards the keys of the event format may be
relied on.

https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from typing import Any

from homeserver.protocol.canonical_json import check_canonical, check_depth
from homeserver.protocol.errors import BadJson, InvalidEvent
from homeserver.protocol.events.event import Event, encode_pdu
from homeserver.protocol.events.hashes import event_id_of
from homeserver.protocol.identifiers import is_event_id, is_room_id, is_user_id
from homeserver.protocol.room_versions import EventFormat, RoomVersion

MAX_PDU_BYTES = 65_536
"""The limit of an event as canonical JSON with its signatures: https://spec.matrix.org/v1.19/client-server-api/#size-limits"""
MAX_KEY_BYTES = 255
"""The limit of `type` and of `state_key`."""
MAX_PREV_EVENTS = 20
MAX_AUTH_EVENTS = 10

_MAX_TIMESTAMP = 2**63 - 1
_MISSING = object()


def parse_pdu(pdu: Any, version: RoomVersion, *, limit_references: bool = True) -> Event:
    """The event of a PDU received from another server, with its ID. Raises `InvalidEvent`.

    `unsigned` is dropped: nobody vouches for it. Where the specification gives it a meaning
    (`invite_room_state`), the receiver reads it from the PDU as received. Signatures, hashes and
    authorisation are not looked at here.
    """
    if type(pdu) is not dict:
        raise InvalidEvent("The event is not an object")
    pdu = {key: value for key, value in pdu.items() if key != "unsigned"}
    try:
        (check_canonical if version.strict_canonical_json else check_depth)(pdu)
        check_shape(pdu, version, limit_references=limit_references)
        encoded = encode_pdu(pdu, version)
        if len(encoded) > MAX_PDU_BYTES:
            raise InvalidEvent(f"The event is larger than {MAX_PDU_BYTES} bytes")
        return Event(pdu, version, event_id_of(pdu, version), encoded)
    except InvalidEvent:
        raise
    except BadJson as error:
        raise InvalidEvent(error.message) from error


def check_shape(pdu: dict[str, Any], version: RoomVersion, *, limit_references: bool = True) -> None:
    """Whether the PDU has the [event format](https://spec.matrix.org/v1.19/rooms/v12/#event-format)
    of the room version.

    Raises `InvalidEvent`.
    """
    _check_names(pdu, version)
    _check_numbers(pdu, version)
    if type(pdu.get("content")) is not dict:
        raise InvalidEvent("content is not an object")
    _check_hashes_and_signatures(pdu)
    _check_references(pdu, "prev_events", MAX_PREV_EVENTS if limit_references else None, version)
    _check_references(pdu, "auth_events", MAX_AUTH_EVENTS if limit_references else None, version)
    if version.event_format is EventFormat.HASHED_REFERENCES:
        event_id = pdu.get("event_id")
        if not (type(event_id) is str and is_event_id(event_id)):
            raise InvalidEvent("event_id is not an event ID")


def _check_names(pdu: dict[str, Any], version: RoomVersion) -> None:
    if not _is_key(pdu.get("type"), version):
        raise InvalidEvent("type is not a string of at most 255 bytes")
    if "state_key" in pdu and not _is_key(pdu["state_key"], version):
        raise InvalidEvent("state_key is not a string of at most 255 bytes")
    sender = pdu.get("sender")
    if not (type(sender) is str and is_user_id(sender)):
        raise InvalidEvent("sender is not a user ID")
    room_id = pdu.get("room_id", _MISSING)
    if room_id is _MISSING and _may_lack_room_id(pdu, version):
        return
    if not (type(room_id) is str and is_room_id(room_id)):
        raise InvalidEvent("room_id is not a room ID")


def _may_lack_room_id(pdu: dict[str, Any], version: RoomVersion) -> bool:
    """Whether this is the one event of a room that the room is named after."""
    return version.room_id_is_create_hash and pdu["type"] == "m.room.create" and pdu.get("state_key") == ""


def _check_numbers(pdu: dict[str, Any], version: RoomVersion) -> None:
    depth = pdu.get("depth")
    if type(depth) is not int or not 0 <= depth <= version.max_depth:
        raise InvalidEvent("depth is not an integer in its range")
    timestamp = pdu.get("origin_server_ts")
    if type(timestamp) is not int or not -_MAX_TIMESTAMP <= timestamp <= _MAX_TIMESTAMP:
        raise InvalidEvent("origin_server_ts is not an integer in its range")


def _check_hashes_and_signatures(pdu: dict[str, Any]) -> None:
    hashes = pdu.get("hashes")
    if type(hashes) is not dict or type(hashes.get("sha256")) is not str:
        raise InvalidEvent("hashes has no sha256")
    signatures = pdu.get("signatures")
    if type(signatures) is not dict:
        raise InvalidEvent("signatures is not an object")
    for by_key in signatures.values():
        if type(by_key) is not dict or any(type(text) is not str for text in by_key.values()):
            raise InvalidEvent("signatures are not strings by server and by key")


def _check_references(pdu: dict[str, Any], name: str, limit: int | None, version: RoomVersion) -> None:
    references = pdu.get(name)
    if type(references) is not list:
        raise InvalidEvent(f"{name} is not a list")
    if limit is not None and len(references) > limit:
        raise InvalidEvent(f"{name} has more than {limit} events")
    hashed = version.event_format is EventFormat.HASHED_REFERENCES
    for reference in references:
        if hashed:
            if type(reference) is not list or len(reference) != 2 or type(reference[1]) is not dict:
                raise InvalidEvent(f"{name} has an entry that is not an event ID with its hash")
            reference = reference[0]
        if not (type(reference) is str and is_event_id(reference)):
            raise InvalidEvent(f"{name} has an entry that is not an event ID")


def _is_key(value: Any, version: RoomVersion) -> bool:
    """A string of at most 255 bytes (or code points), with no NUL: no server's database could ever keep it as a key."""
    if type(value) is not str or "\0" in value:
        return False
    if not version.keys_limited_in_bytes or value.isascii():
        return len(value) <= MAX_KEY_BYTES
    return len(value.encode(errors="surrogatepass")) <= MAX_KEY_BYTES
