"""Rooms that nobody of this server may enter: administrators blocked them, or they are about to be deleted."""

from homeserver.protocol.errors import Forbidden
from homeserver.protocol.identifiers import RoomID
from storage.database import Database
from storage.tables.room_deletions import BlockedRooms


class ClosedRooms:
    """Asks the database, as any node may have closed a room."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_closed(self, room_id: RoomID) -> bool:
        """Whether a room is closed: whoever is not in it is not shown it either."""
        return await self._database.read(lambda tx: BlockedRooms(tx).is_closed(room_id))

    async def require_open(self, room_id: RoomID) -> None:
        """Raises Forbidden for a room that is closed."""
        if await self.is_closed(room_id):
            raise Forbidden("This room has been blocked on this server")
