"""Making the events of our own users, and the templates of those that users of other servers ask us
for.

https://spec.matrix.org/v1.19/server-server-api/#adding-hashes-and-signatures-to-outgoing-events
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from homeserver.protocol.base64 import encode_base64
from homeserver.protocol.errors import BadJson, EventTooLarge, InvalidEvent
from homeserver.protocol.events.event import Event, encode_pdu, referenced_ids
from homeserver.protocol.events.hashes import content_hash, event_id_from_hash, signed_bytes
from homeserver.protocol.events.parsing import (
    MAX_AUTH_EVENTS,
    MAX_KEY_BYTES,
    MAX_PDU_BYTES,
    MAX_PREV_EVENTS,
)
from homeserver.protocol.events.sticky import STICKY
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID, is_event_id
from homeserver.protocol.room_versions import EventFormat, EventIDFormat, RoomVersion
from homeserver.protocol.signing_keys import SigningKey

NO_HASHES: Mapping[EventID, str] = {}


def build_event(
    version: RoomVersion,
    *,
    room_id: RoomID | None,
    sender: UserID,
    type: str,
    content: dict[str, Any],
    state_key: str | None = None,
    prev_events: Sequence[EventID],
    auth_events: Sequence[EventID],
    depth: int,
    origin_server_ts: int,
    server_name: ServerName,
    signing_key: SigningKey,
    redacts: EventID | None = None,
    event_id: EventID | None = None,
    sticky_ms: int | None = None,
    reference_hashes: Mapping[EventID, str] = NO_HASHES,
) -> Event:
    """A complete event: hashed, signed by `server_name`, with its ID. Raises `EventTooLarge` and
    `BadJson`.

    `room_id` is None for the create event of a room whose ID is made of it. `redacts` is put where
    the room version wants it. Room versions 1 and 2 need an `event_id`, and take the reference
    hashes (unpadded base64) of the events referred to. `content` must be canonical already
    (`check_canonical`); it becomes part of the event and is not copied.
    """
    pdu = proto_event(
        version,
        room_id=room_id,
        sender=sender,
        type=type,
        content=content,
        state_key=state_key,
        prev_events=prev_events,
        auth_events=auth_events,
        depth=depth,
        origin_server_ts=origin_server_ts,
        redacts=redacts,
        reference_hashes=reference_hashes,
    )
    if version.event_id_format is EventIDFormat.CHOSEN_BY_SENDER:
        pdu["event_id"] = event_id
    if sticky_ms is not None:
        pdu[STICKY] = {"duration_ms": sticky_ms}
    return hash_and_sign(pdu, version, server_name, signing_key)


def proto_event(
    version: RoomVersion,
    *,
    room_id: RoomID | None,
    sender: UserID,
    type: str,
    content: dict[str, Any],
    state_key: str | None = None,
    prev_events: Sequence[EventID],
    auth_events: Sequence[EventID],
    depth: int,
    origin_server_ts: int,
    redacts: EventID | None = None,
    reference_hashes: Mapping[EventID, str] = NO_HASHES,
) -> dict[str, Any]:
    """An event without hashes and signatures: the template that `make_join` and its like answer
    with.

    Raises `EventTooLarge` for a `type` or a `state_key` of more than 255 bytes.
    """
    pdu: dict[str, Any] = {
        "auth_events": _references(auth_events, version, reference_hashes),
        "content": content,
        "depth": min(depth, version.max_depth),
        "origin_server_ts": origin_server_ts,
        "prev_events": _references(prev_events, version, reference_hashes),
        "sender": sender,
        "type": type,
    }
    _check_key("type", type)
    if room_id is not None:
        pdu["room_id"] = room_id
    if state_key is not None:
        _check_key("state_key", state_key)
        pdu["state_key"] = state_key
    if redacts is not None:
        if version.redacts_in_content:
            pdu["content"] = {**content, "redacts": redacts}
        else:
            pdu["redacts"] = redacts
    return pdu


def hash_and_sign(
    pdu: dict[str, Any], version: RoomVersion, server_name: ServerName, signing_key: SigningKey
) -> Event:
    """Complete a PDU of `proto_event` (which is changed) with its hash, our signature and its ID.

    The same bytes are signed and make the event ID, so they are encoded once. Raises
    `EventTooLarge` and `BadJson`.
    """
    pdu["hashes"] = {"sha256": encode_base64(content_hash(pdu, version))}
    essence = signed_bytes(pdu, version)
    pdu["signatures"] = {server_name: {signing_key.key_id: signing_key.sign(essence)}}
    encoded = encode_pdu(pdu, version)
    if len(encoded) > MAX_PDU_BYTES:
        raise EventTooLarge(f"The event is larger than {MAX_PDU_BYTES} bytes")
    if version.event_id_format is EventIDFormat.CHOSEN_BY_SENDER:
        event_id = pdu["event_id"]
    else:
        event_id = event_id_from_hash(sha256(essence).digest(), version)
    return Event(pdu, version, event_id, encoded)


@dataclass(frozen=True, slots=True)
class TemplateReferences:
    """Where an event that another server proposes to us belongs in its room's graph."""

    prev_events: list[EventID]
    auth_events: list[EventID]
    depth: int
    reference_hashes: dict[EventID, str]


def references_of_template(template: Any, version: RoomVersion) -> TemplateReferences:
    """All that we take from a `make_join`, `make_leave` or `make_knock` answer besides the
    content's named keys.

    The event is then built anew by `build_event` from what *we* know of sender, room and
    membership: signing a template as given would let any server have us sign anything. Raises
    `InvalidEvent`.
    """
    if not isinstance(template, dict):
        raise InvalidEvent("The template is not an object")
    depth = template.get("depth")
    if type(depth) is not int or not 0 <= depth <= version.max_depth:
        raise InvalidEvent("The template has no depth")
    hashes: dict[EventID, str] = {}
    prev_events = _read_references(template.get("prev_events"), MAX_PREV_EVENTS, version, hashes)
    auth_events = _read_references(template.get("auth_events"), MAX_AUTH_EVENTS, version, hashes)
    return TemplateReferences(prev_events, auth_events, depth, hashes)


def _read_references(
    references: Any, limit: int, version: RoomVersion, hashes: dict[EventID, str]
) -> list[EventID]:
    if not isinstance(references, list) or len(references) > limit:
        raise InvalidEvent("The template has no proper references")
    if version.event_format is EventFormat.HASHED_REFERENCES:
        for reference in references:
            if not (isinstance(reference, list) and len(reference) == 2):
                raise InvalidEvent("The template has no proper references")
    ids: list[Any] = list(referenced_ids(references, version))
    if not all(isinstance(event_id, str) and is_event_id(event_id) for event_id in ids):
        raise InvalidEvent("The template refers to what is no event")
    if version.event_format is EventFormat.HASHED_REFERENCES:
        for event_id, by_algorithm in references:
            digest = by_algorithm.get("sha256") if isinstance(by_algorithm, dict) else None
            if isinstance(digest, str):
                hashes[event_id] = digest
    return ids


def _references(
    event_ids: Sequence[EventID], version: RoomVersion, hashes: Mapping[EventID, str]
) -> list[Any]:
    if version.event_format is EventFormat.PLAIN_REFERENCES:
        return list(event_ids)
    return [[event_id, {"sha256": hashes[event_id]} if event_id in hashes else {}] for event_id in event_ids]


def _check_key(name: str, value: str) -> None:
    """Sizes and characters of keys, as every other server will check them."""
    if "\0" in value:
        raise BadJson(f"{name} has a NUL character")
    if len(value.encode(errors="surrogatepass")) > MAX_KEY_BYTES:
        raise EventTooLarge(f"{name} is longer than {MAX_KEY_BYTES} bytes")
