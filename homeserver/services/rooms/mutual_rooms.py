"""The rooms that a user shares with another one.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mutual_rooms
"""

from dataclasses import dataclass

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import RoomID, UserID, is_room_id
from homeserver.protocol.requester import Requester
from storage.database import Database
from storage.tables.mutual_rooms import MutualRooms as StoredMutualRooms

PAGE = 100


@dataclass(frozen=True, slots=True)
class SharedRooms:
    """Some of them, how many there are, and where to go on."""

    rooms: list[RoomID]
    count: int
    next_batch: str | None


class MutualRooms:
    """Finds them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, who: Requester, other: UserID, after: str | None) -> SharedRooms:
        """A page of them; ``after`` is the last room of the page before. Raises InvalidParam."""
        if other == who.user_id:
            raise InvalidParam("The rooms that you share with yourself are all of yours")
        if after is not None and (not is_room_id(after) or "\0" in after):
            raise InvalidParam("Not a token of this list")
        rooms, count = await self._database.read(
            lambda tx: (
                StoredMutualRooms(tx).page(who.user_id, other, after or "", PAGE + 1),
                StoredMutualRooms(tx).count(who.user_id, other),
            )
        )
        more = len(rooms) > PAGE
        return SharedRooms(rooms[:PAGE], count, rooms[PAGE - 1] if more else None)
