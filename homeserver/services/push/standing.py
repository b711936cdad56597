"""How a user stands to rooms at the moment of a push."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.receipts import MAIN_THREAD, UNTHREADED
from homeserver.services.rooms.stored_event import StoredEvent


@dataclass(frozen=True, slots=True)
class OpenRooms:
    """The rooms that a user is in, in which of them somebody called, how many invites wait, and whom they ignore."""

    joined: Sequence[RoomID]
    called: frozenset[RoomID]
    invites: int
    ignored: frozenset[UserID]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a user stands to some rooms."""

    memberships: Mapping[RoomID, str]
    read: Mapping[tuple[RoomID, str], int]

    def wants(self, stored: StoredEvent, pos: int) -> bool:
        room_id, thread = stored.event.room_id, stored.thread or MAIN_THREAD
        membership = self.memberships.get(room_id)
        if membership == "invite":
            return stored.event.membership == "invite"
        if membership != "join" or stored.redacted_by is not None or stored.event.membership == "invite":
            return False
        return pos > max(self.read.get((room_id, UNTHREADED), 0), self.read.get((room_id, thread), 0))
