"""Removing all that the database has of a room: a little at a time, in the order of `storage.tables.room_rows`.

What shows the room to anybody goes first. Everything is looked through until nothing is found: what was on its way into
the database meanwhile goes too. Nothing is kept of how far it is, as it can begin anew at any time.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, NamedTuple

from homeserver.clock import Clock
from homeserver.protocol.identifiers import RoomID
from homeserver.services.media.uses import MediaUseIndex
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import RoomHeads
from storage.database import Database
from storage.tables.room_rows import BEHIND, OF_EVENTS, OF_USERS, SHOWING, OfRoom, RoomRows
from storage.transaction import Transaction

ROWS_AT_ONCE: Final = 500
USERS_AT_ONCE: Final = 200


class _Swept(NamedTuple):
    """What a sweep removed, and whether it has more to look through."""

    rows: int
    more: bool


class Removal:
    """The removal of one room."""

    def __init__(
        self,
        room_id: RoomID,
        database: Database,
        heads: RoomHeads,
        events: EventStore,
        uses: MediaUseIndex,
        clock: Clock,
    ) -> None:
        self._room_id = room_id
        self._database = database
        self._heads = heads
        self._events = events
        self._uses = uses
        self._clock = clock
        self._showing = _Round([*self._of_room(SHOWING.values()), self._forget])
        self._rest = _Round(
            [*self._of_room((*SHOWING.values(), *BEHIND.values())), self._of_events, self._of_users]
        )
        self._after = ""

    async def hide_some(self) -> bool:
        """Remove some of what shows the room to anybody; whether there may be more."""
        return await self._showing.go_on()

    async def remove_some(self) -> bool:
        """Remove some of everything else; whether there may be more."""
        return await self._rest.go_on()

    def _of_room(self, sweeps: Iterable[OfRoom]) -> list["_Sweep"]:
        return [partial(self._table, sweep) for sweep in sweeps]

    async def _table(self, sweep: OfRoom) -> _Swept:
        def work(tx: Transaction) -> int:
            rows = RoomRows(tx)
            rows.commit_lazily()
            return sweep(rows, self._room_id, ROWS_AT_ONCE)

        removed = await self._database.transact(work)
        return _Swept(removed, removed == ROWS_AT_ONCE)

    async def _forget(self) -> _Swept:
        self._heads.forget(self._room_id)
        return _Swept(0, more=False)

    async def _of_events(self) -> _Swept:
        now = self._clock.now_ms()

        def work(tx: Transaction) -> list[int]:
            rows = RoomRows(tx)
            found = rows.some_events(self._room_id, ROWS_AT_ONCE)
            nids = [each.nid for each in found]
            if nids:
                rows.commit_lazily()
                showing = [each.nid for each in found if each.shows_files]
                if showing:
                    self._uses.end(tx, rows.telling(showing), now)
                for sweep in OF_EVENTS.values():
                    sweep(rows, nids)
            return nids

        nids = await self._database.transact(work)
        for nid in nids:
            self._events.forget(nid)
        return _Swept(len(nids), more=bool(nids))

    async def _of_users(self) -> _Swept:
        def work(tx: Transaction) -> tuple[int, str]:
            rows = RoomRows(tx)
            rows.commit_lazily()
            users = rows.users(self._after, USERS_AT_ONCE)
            removed = sum(sweep(rows, self._room_id, users) for sweep in OF_USERS.values()) if users else 0
            return removed, users[-1] if len(users) == USERS_AT_ONCE else ""

        removed, self._after = await self._database.transact(work)
        return _Swept(removed, more=bool(self._after))


_Sweep = Callable[[], Awaitable[_Swept]]


class _Round:
    """Does sweeps one after the other, again and again, until a whole round removes nothing."""

    def __init__(self, sweeps: list[_Sweep]) -> None:
        self._sweeps = sweeps
        self._at = 0
        self._removed = 0

    async def go_on(self) -> bool:
        """Go on until something was removed or looked through; whether there may be more to do."""
        while True:
            rows, more = await self._sweeps[self._at]()
            self._removed += rows
            if more:
                return True
            self._at += 1
            if self._at == len(self._sweeps):
                again, self._at, self._removed = self._removed > 0, 0, 0
                return again
            if rows:
                return True
