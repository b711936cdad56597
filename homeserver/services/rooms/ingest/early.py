"""The events that wait for others: which there are, and when each has its turn."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from homeserver.clock import Clock
from homeserver.protocol.canonical_json import decode
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from storage.database import Database
from storage.tables.early_events import EarlyEvent
from storage.tables.early_events import EarlyEvents as StoredEarlyEvents
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

FIRST_MS: Final = 30_000
FACTOR: Final = 4
MAX_ATTEMPTS: Final = 6
"""After half a minute, then 2, 8 and 32 minutes, 2 hours and 8 hours."""
MOST_OF_A_SERVER: Final = 1000
MOST_OF_A_ROOM: Final = 100
AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True)
class Early:
    """An event that could not be placed, and what was missing for it."""

    event: Event
    missing: Collection[EventID]


class EarlyEvents:
    """Keeps them on record. In which rooms there are any is known in memory, so that it costs nothing else where."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._rooms: set[RoomID] = set()

    async def load(self) -> None:
        """Learn what is on record, by other nodes as well."""
        self._rooms = set(await self._database.read(lambda tx: StoredEarlyEvents(tx).rooms()))

    async def keep(self, origin: ServerName, room_id: RoomID, early: Sequence[Early]) -> list[EventID]:
        """Keep events, as far as there may be more of them; gives those that are kept."""
        if not early:
            return []
        retry_at = self._clock.now_ms() + FIRST_MS

        def write(tx: Transaction) -> list[EventID]:
            kept = [
                StoredEarlyEvents(tx).keep(
                    each.event.event_id,
                    room_id,
                    origin,
                    list(each.missing),
                    each.event.encoded().decode(),
                    retry_at,
                    MOST_OF_A_SERVER,
                    MOST_OF_A_ROOM,
                )
                for each in early
            ]
            return [event_id for event_id in kept if event_id is not None]

        kept = await self._database.transact(write)
        self._rooms.add(room_id)
        return kept

    async def waiting_for(self, room_id: RoomID, arrived: Collection[EventID]) -> list[EarlyEvent]:
        """Those of a room that wait for what has arrived."""
        if room_id not in self._rooms or not arrived:
            return []
        ids = list(arrived)
        return await self._database.read(lambda tx: StoredEarlyEvents(tx).waiting_for(room_id, ids, AT_ONCE))

    async def take_due(self) -> list[EarlyEvent]:
        """Those whose time has come; each has its next turn later, whatever becomes of it now."""
        now = self._clock.now_ms()
        return await self._database.transact(
            lambda tx: StoredEarlyEvents(tx).take_due(now, FIRST_MS, FACTOR, AT_ONCE)
        )

    async def tried(self, event: EarlyEvent, still: Sequence[Early]) -> None:
        """Take note of what came of a turn: ``still`` are the events that could not be placed again."""
        missing = [list(each.missing) for each in still if each.event.event_id == event.event_id]
        if missing and event.attempts < MAX_ATTEMPTS:
            await self._database.transact(
                lambda tx: StoredEarlyEvents(tx).still_missing(event.event_id, missing[0])
            )
            return
        if missing:
            log.info("what an event builds on was never had", event_id=event.event_id, room_id=event.room_id)
        await self._database.transact(lambda tx: StoredEarlyEvents(tx).remove(event.event_id))


def pdu_of(event: EarlyEvent) -> object:
    """The event as it was sent."""
    return decode(event.pdu)
