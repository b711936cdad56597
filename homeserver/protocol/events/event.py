"""An event of a room, as a value: a PDU together with the rules of its room version and its event
ID.

https://spec.matrix.org/v1.19/server-server-api/#pdus
"""

from typing import Any

from homeserver.protocol.canonical_json import encode_canonical, encode_lenient
from homeserver.protocol.identifiers import EventID, RoomID, StateKey, UserID
from homeserver.protocol.room_versions import EventFormat, RoomVersion


class Event:
    """One event. Its PDU is what goes over federation, signatures included and `unsigned` not;
    nobody changes it.

    It is made by `parse_pdu` from what others send, by `build_event` from what our users do, and by
    `from_trusted` from what we stored after either. So the keys that the event format requires are
    there and have their types; `content` is whatever its sender put in, and is read by the lenient
    readers of `content.py`.
    """

    __slots__ = (
        "_encoded",
        "content",
        "depth",
        "event_id",
        "origin_server_ts",
        "pdu",
        "room_id",
        "sender",
        "state_key",
        "type",
        "version",
    )

    pdu: dict[str, Any]
    version: RoomVersion
    event_id: EventID
    room_id: RoomID
    type: str
    sender: UserID
    state_key: str | None
    content: dict[str, Any]
    depth: int
    origin_server_ts: int

    def __init__(
        self,
        pdu: dict[str, Any],
        version: RoomVersion,
        event_id: EventID,
        encoded: bytes | None = None,
    ) -> None:
        self.pdu = pdu
        self.version = version
        self.event_id = event_id
        room_id = pdu.get("room_id")
        # Only the create event of room version 12 has none: the room is named after it.
        self.room_id = room_id if room_id is not None else RoomID("!" + event_id[1:])
        self.type = pdu["type"]
        self.sender = pdu["sender"]
        self.state_key = pdu.get("state_key")
        self.content = pdu["content"]
        self.depth = pdu["depth"]
        self.origin_server_ts = pdu["origin_server_ts"]
        self._encoded = encoded

    @classmethod
    def from_trusted(
        cls,
        pdu: dict[str, Any],
        version: RoomVersion,
        event_id: EventID,
        encoded: bytes | None = None,
    ) -> "Event":
        """The event of a PDU that was parsed before, with its ID, and its canonical bytes if they
        are at hand.
        """
        return cls(pdu, version, event_id, encoded)

    def __repr__(self) -> str:
        place = "" if self.state_key is None else f" {self.state_key!r}"
        return f"<Event {self.event_id} {self.type}{place} by {self.sender} in {self.room_id}>"

    def encoded(self) -> bytes:
        """The canonical JSON of the PDU, with its signatures. Made once."""
        if self._encoded is None:
            self._encoded = encode_pdu(self.pdu, self.version)
        return self._encoded

    @property
    def key(self) -> StateKey | None:
        """The place in the room's state that the event takes, if it is a state event."""
        state_key = self.state_key
        return None if state_key is None else (self.type, state_key)

    @property
    def is_state(self) -> bool:
        """Whether the event has a state key."""
        return self.state_key is not None

    @property
    def prev_event_ids(self) -> list[EventID]:
        """The events that directly precede this one."""
        return referenced_ids(self.pdu["prev_events"], self.version)

    @property
    def auth_event_ids(self) -> list[EventID]:
        """The events that give the sender permission to send this one."""
        return referenced_ids(self.pdu["auth_events"], self.version)

    @property
    def redacts(self) -> EventID | None:
        """The event that a redaction wants redacted; None for all else and for a redaction that
        names none.
        """
        if self.type != "m.room.redaction":
            return None
        holder = self.content if self.version.redacts_in_content else self.pdu
        target = holder.get("redacts")
        return EventID(target) if isinstance(target, str) else None

    @property
    def membership(self) -> str | None:
        """The membership that a membership event gives its target; None for all else, and if it is
        no string.
        """
        if self.type != "m.room.member":
            return None
        membership = self.content.get("membership")
        return membership if isinstance(membership, str) else None


def encode_pdu(pdu: dict[str, Any], version: RoomVersion) -> bytes:
    """The bytes of a PDU, or of a part of one, that are hashed and signed in this room version.

    Raises `BadJson` if there are none.
    """
    return encode_canonical(pdu) if version.strict_canonical_json else encode_lenient(pdu)


def referenced_ids(references: list[Any], version: RoomVersion) -> list[EventID]:
    """The event IDs in `prev_events` or `auth_events`. The list of the PDU itself where it is one:
    not to be changed.
    """
    if version.event_format is EventFormat.PLAIN_REFERENCES:
        return references
    return [reference[0] for reference in references]
