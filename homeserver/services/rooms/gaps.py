"""Gaps in the history that this server has, and their filling from other servers when somebody reads there."""

from collections.abc import Sequence

from homeserver.protocol.identifiers import RoomID
from homeserver.services.rooms.remote import Backfill
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.events import BackwardExtremities


class Gaps:
    """Notices that a page touches a gap and has it filled."""

    def __init__(self, database: Database, backfill: Backfill | None = None) -> None:
        self._database = database
        self._backfill = backfill

    async def fill(self, room_id: RoomID, depth: int, page: Sequence[StoredEvent], wanted: int) -> bool:
        """Fill the gaps that a page of history, going backwards from a depth, runs into; whether events came of it.

        A page shorter than ``wanted`` ends where our history does, so every gap below it counts."""
        if self._backfill is None:
            return False
        gaps = await self._database.read(lambda tx: BackwardExtremities(tx).of_room(room_id))
        if not gaps:
            return False
        shallowest = page[-1].event.depth if len(page) >= wanted else 0
        touched = [at for _, at in gaps if shallowest <= at <= depth]
        if not touched:
            return False
        return await self._backfill.fill(room_id, max(touched), wanted)
