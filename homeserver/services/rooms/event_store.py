"""Reading events by ID or number, through a cache."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from homeserver.protocol.canonical_json import decode
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID
from homeserver.protocol.room_versions import ROOM_VERSIONS
from homeserver.services.rooms.stored_event import Status, StoredEvent
from storage.caches import CacheBudget
from storage.database import Database
from storage.tables.events import EventRow, Events

MAX_OUTDATED: Final = 1000


def _memory(stored: StoredEvent) -> int:
    """Roughly what an event takes in memory: its PDU parsed, as bytes, and as the bytes that clients see."""
    return 1500 + 5 * len(stored.event.encoded())


class EventStore:
    """Events of this server, whatever their status. `remember` what was just written."""

    def __init__(self, database: Database, caches: CacheBudget) -> None:
        self._database = database
        self._by_nid = caches.cache("events", _memory)
        self._nids = caches.cache("event_ids", lambda nid: 180)
        self._outdated: OrderedDict[int, None] = OrderedDict()
        """Events that another node has changed lately: rows of them may have been read before."""

    async def by_nids(self, nids: Iterable[int]) -> dict[int, StoredEvent]:
        """Those that exist, by number."""
        found: dict[int, StoredEvent] = {}
        missing = []
        for nid in nids:
            stored = self._by_nid.get(nid)
            if stored is None:
                missing.append(nid)
            else:
                found[nid] = stored
        if missing:
            for stored in self.load(await self._database.read(lambda tx: Events(tx).by_nids(missing))):
                found[stored.nid] = stored
        return found

    async def by_ids(self, event_ids: Iterable[EventID]) -> dict[EventID, StoredEvent]:
        """Those that exist, by event ID."""
        found: dict[EventID, StoredEvent] = {}
        missing = []
        for event_id in event_ids:
            nid = self._nids.get(event_id)
            stored = self._by_nid.get(nid) if nid is not None else None
            if stored is None:
                missing.append(event_id)
            else:
                found[event_id] = stored
        if missing:
            for stored in self.load(await self._database.read(lambda tx: Events(tx).by_ids(missing))):
                found[stored.event.event_id] = stored
        return found

    def cached(self, event_id: EventID) -> StoredEvent | None:
        """The event if it is in memory: those that this node has just written are."""
        nid = self._nids.get(event_id)
        return None if nid is None else self._by_nid.get(nid)

    async def find(self, event_id: EventID) -> StoredEvent | None:
        return (await self.by_ids((event_id,))).get(event_id)

    def load(self, rows: Iterable[EventRow]) -> list[StoredEvent]:
        """The events of rows read elsewhere, in their order; remembered."""
        events = []
        for row in rows:
            stored = self._by_nid.get(row.nid)
            if stored is None or (
                stored.pos is None and row.pos is not None
            ):  # another node gave it its place
                stored = _stored(row)
                if row.nid not in self._outdated:
                    self.remember(stored)
            events.append(stored)
        return events

    def remember(self, stored: StoredEvent) -> None:
        self._by_nid.put(stored.nid, stored)
        self._nids.put(stored.event.event_id, stored.nid)

    def forget(self, nid: int) -> None:
        """Drop an event from the cache: its row has changed."""
        self._by_nid.pop(nid)

    def changed_elsewhere(self, nid: int) -> None:
        """Another node has changed an event."""
        self._by_nid.pop(nid)
        self._outdated[nid] = None
        if len(self._outdated) > MAX_OUTDATED:
            self._outdated.popitem(last=False)

    def forget_all(self) -> None:
        """Drop all events from the cache: some are not there any more."""
        self._by_nid.clear()
        self._nids.clear()


def _stored(row: EventRow) -> StoredEvent:
    encoded = row.json.encode()
    return StoredEvent(
        Event.from_trusted(decode(encoded), ROOM_VERSIONS[row.room_version], row.event_id, encoded),
        row.nid,
        received_ts=row.received_ts,
        pos=row.pos,
        ordering=row.ordering,
        outbound=row.outbound,
        status=Status(row.status),
        state_before=row.state_before,
        state_after=row.state_after,
        transaction=row.transaction,
        redacted_by=row.redacted_by,
        thread=row.thread,
        notable=row.notable,
    )
