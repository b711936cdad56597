"""What another node did to a room: the journal's payload for those who follow rooms in memory."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, UserID


class RoomElsewhere(Struct, frozen=True, tag="room", omit_defaults=True):
    """``events`` counts the new ones of the timeline; ``moves`` are users with their memberships before and after,
    without those who stayed; ``changed`` the numbers of older events that are not any more as they were; ``parents``
    those to which others relate now; ``whole`` as of a `RoomCommit`.
    """

    room_id: RoomID
    events: int = 0
    moves: tuple[tuple[UserID, str, str], ...] = ()
    changed: tuple[int, ...] = ()
    parents: tuple[EventID, ...] = ()
    whole: bool | None = None

    @property
    def joined(self) -> list[UserID]:
        """Who came into the room."""
        return [user_id for user_id, was, now in self.moves if now == "join" and was != "join"]

    @property
    def moves_servers(self) -> bool:
        """Whether other servers may have come into the room or gone out of it."""
        return self.whole is not None or any((was == "join") != (now == "join") for _, was, now in self.moves)
