"""Events as clients see them.

The form has no `unsigned`: that is the reader's own part (age, transaction ID, membership), spliced
in by `with_unsigned`, so that the bytes of an event can be made once and sent to everybody.

https://spec.matrix.org/v1.19/client-server-api/#room-event-format
"""

from typing import Any

from homeserver.protocol.canonical_json import encode_canonical, is_canonical
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.sticky import STICKY, sticky_ms
from homeserver.protocol.identifiers import is_user_id


def client_event(event: Event) -> dict[str, Any]:
    """The event in the client-server format, without `unsigned`.

    The target of a redaction is shown both in `redacts` and in `content.redacts`, whatever the room
    version, as old and new clients look in different places:
    https://spec.matrix.org/v1.19/rooms/v11/#moving-the-redacts-property-of-mroomredaction-events-to-a-content-property
    """
    shown: dict[str, Any] = {
        "content": event.content,
        "event_id": event.event_id,
        "origin_server_ts": event.origin_server_ts,
        "room_id": event.room_id,
        "sender": event.sender,
        "type": event.type,
    }
    if event.state_key is not None:
        shown["state_key"] = event.state_key
    duration = sticky_ms(event)
    if duration is not None:
        shown[STICKY] = {"duration_ms": duration}
    redacts = event.redacts
    if redacts is not None:
        shown["redacts"] = redacts
        shown["content"] = {**event.content, "redacts": redacts}
    return shown


def client_event_bytes(event: Event) -> bytes:
    """`client_event` as the bytes of a JSON object."""
    return encode_canonical(client_event(event))


def with_unsigned(event_bytes: bytes, unsigned: bytes) -> bytes:
    """The bytes of an event with the bytes of its `unsigned` object."""
    return b'%b,"unsigned":%b}' % (event_bytes[:-1], unsigned)


def without_room_id(shown: dict[str, Any]) -> dict[str, Any]:
    """The event as it appears under its room in `/sync`.

    https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
    """
    return {key: value for key, value in shown.items() if key != "room_id"}


def stripped_state(event: Event) -> dict[str, Any]:
    """The state event as [stripped state](https://spec.matrix.org/v1.19/client-server-api/#stripped-state)."""
    return {
        "content": event.content,
        "sender": event.sender,
        "state_key": event.state_key,
        "type": event.type,
    }


def stripped_from_untrusted(state: Any) -> list[dict[str, Any]]:
    """What of an invite's or a knock's state, as another server sent it, may be shown to our user.

    "Servers are expected to prune the events into the stripped state schema"; entries that are not
    state events are left out, and so are those with numbers or a depth that no event of today has.
    """
    if not isinstance(state, list):
        return []
    return [
        {key: entry[key] for key in ("content", "sender", "state_key", "type")}
        for entry in state
        if isinstance(entry, dict) and _is_stripped(entry)
    ]


def _is_stripped(entry: dict[str, Any]) -> bool:
    content, sender = entry.get("content"), entry.get("sender")
    if not (isinstance(content, dict) and isinstance(sender, str) and is_user_id(sender)):
        return False
    return is_canonical(content) and all(isinstance(entry.get(key), str) for key in ("state_key", "type"))
