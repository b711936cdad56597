"""Letting a node forget rooms that are being deleted, whichever node does it."""

from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import RoomHeads
from storage.database import Database
from storage.tables.room_deletions import RoomDeletions


class DeletedRooms:
    """Looks every now and then, more often than a deletion waits for it."""

    def __init__(self, database: Database, heads: RoomHeads, events: EventStore) -> None:
        self._database = database
        self._heads = heads
        self._events = events
        self._forgotten: frozenset[str] = frozenset()

    async def look(self) -> None:
        """Forget that rooms are there that are not shown any more, and events of which nothing is left."""
        found = await self._database.read(lambda tx: RoomDeletions(tx).vanishing())
        for deletion in found:
            self._heads.forget(deletion.room_id)
        gone = frozenset(each.delete_id for each in found if each.stage == "forgetting")
        if gone - self._forgotten:
            self._events.forget_all()  # which of them were the room's is not known any more
        self._forgotten = gone
