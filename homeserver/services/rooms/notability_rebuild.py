"""Marking events from before there were marks (`homeserver rebuild notifications`).

Until then such events count as read, and are in no thread as far as counts go. What was redacted meanwhile has nothing
left to be judged by.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.protocol.identifiers import UserID
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.notability import Notability
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.mentions import MarkedEvents
from storage.transaction import Transaction

AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class _Marked:
    stored: StoredEvent
    mentioned: Sequence[UserID]


class NotabilityRebuild:
    """Goes through the events, the oldest first: those in a thread are marked after what they relate to."""

    def __init__(
        self, database: Database, events: EventStore, states: StateStore, notability: Notability
    ) -> None:
        self._database = database
        self._events = events
        self._states = states
        self._notability = notability

    async def run(self, told: Callable[[int], None]) -> int:
        """Mark all that have no marks; ``told`` hears how many were looked at so far. Gives how many got some.

        It may be broken off and begun anew at any time.
        """
        after, seen, marked = 0, 0, 0
        while True:
            events = await self._next(after)
            if not events:
                return marked
            changed = [each for stored in events if (each := await self._judged(stored)) is not None]
            if changed:
                await self._write(changed)
            marked += len(changed)
            seen += len(events)
            after = events[-1].pos or 0
            told(seen)

    async def _next(self, after: int) -> list[StoredEvent]:
        rows = await self._database.read(lambda tx: MarkedEvents(tx).unmarked(after, AT_ONCE))
        return self._events.load(rows)

    async def _judged(self, stored: StoredEvent) -> _Marked | None:
        stored.thread = await self._notability.thread(stored.event, {})
        state = await self._states.snapshot(stored.state_before or 0)
        mentioned = await self._notability.judge(stored, state, {})
        return _Marked(stored, mentioned) if stored.notable or stored.thread is not None else None

    async def _write(self, changed: Sequence[_Marked]) -> None:
        def write(tx: Transaction) -> None:
            table = MarkedEvents(tx)
            for each in changed:
                stored = each.stored
                table.mark(stored.nid, stored.thread, stored.notable)
                for user_id in each.mentioned:
                    table.mention(user_id, stored.pos or 0, stored.event.room_id, stored.nid)

        await self._database.transact(write)
