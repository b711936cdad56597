"""The two hashes of an event: of its whole content, and of what a redaction leaves, from which its
ID is made.

https://spec.matrix.org/v1.19/server-server-api/#calculating-the-content-hash-for-an-event
https://spec.matrix.org/v1.19/server-server-api/#calculating-the-reference-hash-for-an-event
"""

from hashlib import sha256
from typing import Any

from homeserver.protocol.base64 import decode_base64, encode_base64, encode_base64_url
from homeserver.protocol.errors import BadJson, InvalidEvent, InvalidParam
from homeserver.protocol.events.event import Event, encode_pdu
from homeserver.protocol.events.redaction import redact
from homeserver.protocol.identifiers import EventID
from homeserver.protocol.room_versions import EventIDFormat, RoomVersion

_NOT_HASHED = frozenset({"unsigned", "signatures", "hashes"})


def content_hash(pdu: dict[str, Any], version: RoomVersion) -> bytes:
    """SHA-256 over the unredacted event without `unsigned`, `signatures` and `hashes`. Raises
    `BadJson`.
    """
    hashed = {key: value for key, value in pdu.items() if key not in _NOT_HASHED}
    return sha256(encode_pdu(hashed, version)).digest()


def check_content_hash(event: Event) -> bool:
    """Whether the event is whole. If not, "it is assumed that we have only been given a redacted
    version of the event".
    """
    hashes = event.pdu.get("hashes")
    claimed = hashes.get("sha256") if isinstance(hashes, dict) else None
    if not isinstance(claimed, str):
        return False
    try:
        return decode_base64(claimed) == content_hash(event.pdu, event.version)
    except (InvalidParam, BadJson):
        return False


def reference_hash(pdu: dict[str, Any], version: RoomVersion) -> bytes:
    """SHA-256 over the redacted event without `signatures` and `unsigned`. Raises `BadJson`."""
    return sha256(signed_bytes(pdu, version)).digest()


def signed_bytes(pdu: dict[str, Any], version: RoomVersion) -> bytes:
    """What the signatures of an event, and its reference hash, are made of. Raises `BadJson`."""
    essence = redact(pdu, version)
    essence.pop("signatures", None)
    essence.pop("unsigned", None)
    return encode_pdu(essence, version)


def event_id_of(pdu: dict[str, Any], version: RoomVersion) -> EventID:
    """The ID of the event: its own `event_id` in room versions 1 and 2, made of its reference hash
    in all others.

    Raises `InvalidEvent` if it has none.
    """
    if version.event_id_format is EventIDFormat.CHOSEN_BY_SENDER:
        event_id = pdu.get("event_id")
        if not isinstance(event_id, str):
            raise InvalidEvent("The event has no event_id")
        return EventID(event_id)
    try:
        return event_id_from_hash(reference_hash(pdu, version), version)
    except BadJson as error:
        raise InvalidEvent(error.message) from error


def event_id_from_hash(digest: bytes, version: RoomVersion) -> EventID:
    """The event ID of a reference hash, in the base64 alphabet of the room version."""
    url_safe = version.event_id_format is EventIDFormat.URL_SAFE_BASE64_HASH
    return EventID("$" + (encode_base64_url(digest) if url_safe else encode_base64(digest)))
