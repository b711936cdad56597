"""What is unread of rooms, and of which rooms a client has to hear of it again though nothing was said in them."""

from collections.abc import Collection, Sequence

from homeserver.protocol.identifiers import RoomID
from homeserver.services.account_data import changed_between
from homeserver.services.sliding_sync.gather import Reading
from homeserver.services.sliding_sync.model import RoomResult
from homeserver.services.sync.live import LiveUser
from homeserver.services.sync.recent import RecentRooms
from homeserver.services.sync.unread import UnreadCounts
from storage.database import Database
from storage.tables.sliding_sync import ListedRooms


class UnreadRooms:
    """Asks memory first: an answer about new messages costs no query more."""

    def __init__(self, database: Database, recent: RecentRooms, unread: UnreadCounts) -> None:
        self._database = database
        self._recent = recent
        self._unread = unread

    async def recounted(
        self, reading: Reading, user: LiveUser, rooms: Collection[RoomID]
    ) -> Collection[RoomID]:
        """Those of some rooms that the user has read since, or to which other rules apply now."""
        if not reading.since or not rooms:
            return ()
        found = set(await self._read(reading, rooms))
        if user.data_pos > reading.since:
            data = await self._database.read(
                lambda tx: changed_between(tx, reading.user_id, reading.since, reading.upto)
            )
            between = (reading.since, reading.upto)
            found.update(await self._unread.after(reading.user_id, data, rooms, between))
        return found

    async def tell(self, reading: Reading, results: Sequence[RoomResult]) -> None:
        """Put counts into what is told of rooms that the user is in."""
        inside = [result for result in results if result.membership == "join"]
        counts = await self._unread.of_rooms(
            reading.user_id, [result.room_id for result in inside], reading.ignored
        )
        for result in inside:
            total = counts[result.room_id].total
            result.unread = (total.notifications, total.highlights)

    async def _read(self, reading: Reading, rooms: Collection[RoomID]) -> list[RoomID]:
        changed = self._recent.changed(set(rooms), reading.since)
        found: list[RoomID] = []
        unknown: list[RoomID] = []
        for room_id in rooms if changed is None else changed:
            room = self._recent.find(room_id, reading.since)
            if room is None:
                unknown.append(room_id)
            elif any(
                row.user_id == reading.user_id and row.pos > reading.since for row in reversed(room.receipts)
            ):
                found.append(room_id)
        if unknown:
            found += await self._database.read(
                lambda tx: ListedRooms(tx).read_since(unknown, reading.user_id, reading.since)
            )
        return found
