"""What is sticky in rooms, for syncs.

Whether one may see the history of a room has no say in it: who is in the room sees what is sticky there.

https://github.com/matrix-org/matrix-spec-proposals/pull/4354
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.clock import Clock
from homeserver.protocol.events.sticky import STICKY, sticky_until
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.sticky_events import StickyEvents as StoredStickyEvents

MAX_IN_ROOM: Final = 1000
"""Sticky events of a room that one answer tells at most: the latest."""


@dataclass(frozen=True, slots=True)
class StickyPage:
    """Sticky events in order, and the position up to which they are all there."""

    events: Sequence[StoredEvent]
    upto: int


class StickyEvents:
    """Reads what is sticky."""

    def __init__(self, database: Database, events: EventStore, clock: Clock) -> None:
        self._database = database
        self._events = events
        self._clock = clock

    async def of_rooms(
        self, user_id: UserID, sinces: Mapping[RoomID, int], upto: int, ignored: Collection[UserID]
    ) -> dict[RoomID, list[StoredEvent]]:
        """What is sticky in rooms up to a position, in each after one of its own."""
        rooms, after, now, unheard = list(sinces), list(sinces.values()), self._clock.now_ms(), list(ignored)
        if not rooms:
            return {}
        rows = await self._database.read(
            lambda tx: StoredStickyEvents(tx).between(user_id, rooms, after, upto, now, unheard, MAX_IN_ROOM)
        )
        found: dict[RoomID, list[StoredEvent]] = {}
        for stored in self._events.load(rows):
            found.setdefault(stored.event.room_id, []).append(stored)
        return found

    async def page(
        self,
        user_id: UserID,
        rooms: Collection[RoomID],
        between: tuple[int, int],
        ignored: Collection[UserID],
        limit: int,
    ) -> StickyPage:
        """What is sticky in rooms between two positions, the oldest first, so many at most; and beside that all of it
        in rooms into which the user came between them.
        """
        (since, upto), now, names, unheard = between, self._clock.now_ms(), list(rooms), list(ignored)
        if not names:
            return StickyPage((), upto)
        rows = await self._database.read(
            lambda tx: StoredStickyEvents(tx).after(user_id, names, since, upto, now, unheard, MAX_IN_ROOM)
        )
        events = self._events.load(rows)
        old = sum((stored.pos or 0) <= since for stored in events)
        if len(events) < MAX_IN_ROOM and len(events) - old <= limit:
            return StickyPage(events, upto)
        shown = events[: old + limit]
        return StickyPage(shown, max(shown[-1].pos or 0, since))

    def among(self, events: Iterable[StoredEvent]) -> list[StoredEvent]:
        """Those of some events that are sticky now."""
        sticky = [stored for stored in events if STICKY in stored.event.pdu]
        if not sticky:
            return sticky
        now = self._clock.now_ms()
        return [stored for stored in sticky if sticky_until(stored.event, stored.received_ts) > now]
