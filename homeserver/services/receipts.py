"""Read receipts.

https://spec.matrix.org/v1.19/client-server-api/#receipts
"""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from homeserver.clock import Clock
from homeserver.protocol.errors import InvalidParam, NotFound
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID, is_event_id, server_of
from homeserver.protocol.requester import Requester
from homeserver.services.keyed_locks import KeyedLocks
from homeserver.services.rooms.access import Access
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.journal import Changes, Journal, Landed, Write
from storage.query import Entry
from storage.tables.receipts import RECEIPTS, ReceiptRow
from storage.tables.receipts import Receipts as StoredReceipts

READ = "m.read"
READ_PRIVATE = "m.read.private"
MAIN_THREAD = "main"
UNTHREADED = ""


class ReceiptsCommit(Struct, frozen=True, tag="receipts"):
    """What a committed write did: the journal's payload. ``receipts`` are of one room."""

    room_id: RoomID
    receipts: tuple[ReceiptRow, ...]


ReceiptListener = Callable[[ReceiptRow], None]


class Receipts:
    """Receipts of local users, and those that other servers tell of."""

    def __init__(
        self,
        server_name: ServerName,
        database: Database,
        journal: Journal,
        access: Access,
        events: EventStore,
        clock: Clock,
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._journal = journal
        self._access = access
        self._events = events
        self._clock = clock
        self._locks: KeyedLocks[tuple[RoomID, UserID]] = KeyedLocks()
        self._sent: list[ReceiptListener] = []
        journal.listen(self._landed)

    def when_sent(self, listener: ReceiptListener) -> None:
        """Call with each public receipt of a local user, once it is stored: what other servers are told."""
        self._sent.append(listener)

    async def put(
        self, who: Requester, room_id: RoomID, receipt_type: str, event_id: EventID, thread_id: str | None
    ) -> None:
        """A user has read a room up to an event; ``thread_id`` None: whatever the thread.

        Raises Forbidden, NotFound, InvalidParam."""
        await self.put_all(who, room_id, {receipt_type: event_id}, thread_id)

    async def put_all(
        self,
        who: Requester,
        room_id: RoomID,
        markers: dict[str, EventID],
        thread_id: str | None = None,
        also: Sequence[Entry] = (),
    ) -> None:
        """Several receipts by type, and further rows to be written with them, in one write.

        Raises as `put`.
        """
        thread = _checked_thread(thread_id)
        await self._access.require_joined(room_id, who.user_id)
        known = await self._events.by_ids(markers.values())
        for event_id in markers.values():
            found = known.get(event_id)
            if found is None or found.event.room_id != room_id:
                raise NotFound("There is no such event in the room")
            if thread != UNTHREADED and not _is_in_thread(found, thread):
                raise InvalidParam("The event is not in that thread")
        now = self._clock.now_ms()
        async with self._locks.holding((room_id, who.user_id)):
            rows = [
                ReceiptRow(room_id, who.user_id, receipt_type, thread, event_id, now, 0)
                for receipt_type, event_id in markers.items()
                if await self._is_later(room_id, who.user_id, receipt_type, thread, known[event_id])
            ]
            await self._write(room_id, rows, who.user_id, also)

    async def receive(self, room_id: RoomID, receipts: Iterable[ReceiptRow]) -> None:
        """Receipts that another server's EDU tells of, in a room of ours; those of others than its users
        are for the caller to leave out.
        """
        joined = [row for row in receipts if await self._access.may_be_joined(room_id, row.user_id)]
        await self._write(room_id, joined, None, ())

    async def _is_later(
        self, room_id: RoomID, user_id: UserID, receipt_type: str, thread_id: str, found: StoredEvent
    ) -> bool:
        """Whether a receipt moves forward: it never moves back."""
        before = await self._database.read(
            lambda tx: StoredReceipts(tx).event_id(room_id, user_id, receipt_type, thread_id)
        )
        if before is None:
            return True
        previous = await self._events.find(before)
        return previous is None or _order(found) > _order(previous)

    async def _write(
        self, room_id: RoomID, rows: Sequence[ReceiptRow], user_id: UserID | None, also: Sequence[Entry]
    ) -> None:
        if not rows and not also:
            return
        entries = [
            RECEIPTS.row(
                room_id,
                row.user_id,
                row.receipt_type,
                row.thread_id,
                row.event_id,
                row.ts,
                server_of(row.user_id) == self._server_name,
            )
            for row in rows
        ]
        public = any(row.receipt_type != READ_PRIVATE for row in rows)
        users = frozenset((user_id,)) if user_id is not None and (also or not public) else frozenset()
        changes = Changes(rooms=frozenset((room_id,)) if public else frozenset(), users=users)
        write: Write[None] = Write(
            entries=[*entries, *also], changes=changes, payload=ReceiptsCommit(room_id, tuple(rows))
        )
        await self._journal.write(write)

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        for each in landed:
            if not isinstance(each.payload, ReceiptsCommit):
                continue
            for row in placed(each.payload, each.positions):
                if row.receipt_type == READ and server_of(row.user_id) == self._server_name:
                    for listener in self._sent:
                        listener(row)


def placed(commit: ReceiptsCommit, positions: range) -> list[ReceiptRow]:
    """The receipts of a commit with the positions that they took."""
    return [replace(row, pos=pos) for row, pos in zip(commit.receipts, positions, strict=False)]


def _order(stored: StoredEvent) -> tuple[bool, int, int]:
    """The order in which events came to be read: what has a position is newer than what was backfilled."""
    return (stored.pos is not None, stored.pos or 0, stored.ordering or 0)


def _checked_thread(thread_id: str | None) -> str:
    if thread_id is None:
        return UNTHREADED
    if thread_id == MAIN_THREAD:
        return MAIN_THREAD
    if not is_event_id(thread_id):
        raise InvalidParam("`thread_id` must be an event ID or `main`")
    return thread_id


def _is_in_thread(stored: StoredEvent, thread: str) -> bool:
    """Whether an event may be read in a thread. The root of a thread is in the main timeline, but clients read it with
    its thread too.
    """
    if thread == MAIN_THREAD:
        return stored.thread is None
    return thread in (stored.thread, stored.event.event_id)
