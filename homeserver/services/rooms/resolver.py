"""State resolution on stored snapshots: off the reactor, by the difference between the states, each result remembered."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from homeserver.protocol.canonical_json import decode
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.protocol.room_versions import ROOM_VERSIONS, RoomVersion, StateResolution
from homeserver.protocol.state_resolution.resolve import resolve_conflicts
from homeserver.protocol.state_resolution.sources import Conflicts, StateMap
from homeserver.protocol.state_resolution.walking import auth_chain_difference
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent
from storage.caches import CacheBudget
from storage.snapshots import GONE, Snapshot, differing
from storage.tables.events import EventRow, Events
from storage.tables.state import StateKeys
from storage.threaded import ThreadedReads
from storage.transaction import Transaction


class StateResolver:
    """Makes one state of several. https://spec.matrix.org/v1.19/server-server-api/#room-state-resolution"""

    def __init__(
        self, reads: ThreadedReads, events: EventStore, states: StateStore, caches: CacheBudget
    ) -> None:
        self._reads = reads
        self._events = events
        self._states = states
        self._results = caches.cache("resolutions", lambda snapshot_id: 300)

    async def resolve(
        self, version: RoomVersion, states: Sequence[Snapshot], unsaved: Mapping[int, StoredEvent]
    ) -> Snapshot:
        """The resolution of at least one state; ``unsaved`` are events by number that are not written yet."""
        distinct = list({state.set_hash: state for state in states}.values())
        if len(distinct) == 1:
            return distinct[0]
        name = frozenset(state.id for state in distinct)
        known = self._results.get(name)
        if known is not None:
            return await self._states.snapshot(known)
        resolved = await self._resolve(version, distinct, unsaved)
        self._results.put(name, resolved.id)
        return resolved

    async def _resolve(
        self, version: RoomVersion, states: list[Snapshot], unsaved: Mapping[int, StoredEvent]
    ) -> Snapshot:
        base = states[0]
        keys = {key for other in states[1:] for key in differing(base, other)}
        nids = {nid for state in states for key in keys if (nid := state.find(key))}
        names = await self._states.key_names(keys)
        by_nid = {nid: unsaved[nid] for nid in nids if nid in unsaved}
        by_nid |= await self._events.by_nids(nids - by_nid.keys())
        by_id = {stored.event.event_id: stored for stored in (*unsaved.values(), *by_nid.values())}

        conflicted: dict[StateKey, frozenset[EventID]] = {}
        agreed: dict[StateKey, EventID] = {}
        for key in keys:
            found = [state.find(key) for state in states]
            ids = frozenset(by_nid[nid].event.event_id for nid in found if nid)
            if len(ids) == 1 and version.state_resolution is StateResolution.V1:
                agreed[names[key]] = next(iter(ids))
            else:
                conflicted[names[key]] = ids

        def run(tx: Transaction) -> dict[StateKey, EventID]:
            reader = _Reader(tx, by_id)
            conflicts = Conflicts(conflicted, _Agreed(reader, base, agreed, conflicted))
            return resolve_conflicts(
                version,
                conflicts,
                reader.events,
                lambda: auth_chain_difference(reader.whole(states), reader.events),
                rejected_among=reader.rejected,
            )

        result = agreed | (await self._reads.read(run))
        stored = by_id | await self._events.by_ids(set(result.values()) - by_id.keys())
        updates = {key: stored[result[names[key]]].nid if names[key] in result else GONE for key in keys}
        return await self._states.derive_by_id(base, updates)


class _Reader:
    """Reads events inside the transaction of a resolution, on its thread: no cache of the reactor's thread is touched."""

    def __init__(self, tx: Transaction, known: Mapping[EventID, StoredEvent]) -> None:
        self._tx = tx
        self._events: dict[EventID, Event] = {event_id: stored.event for event_id, stored in known.items()}
        self._ids = {stored.nid: event_id for event_id, stored in known.items()}
        self._rejected = {event_id for event_id, stored in known.items() if stored.status is Status.REJECTED}

    def events(self, event_ids: Collection[EventID]) -> dict[EventID, Event]:
        missing = [event_id for event_id in event_ids if event_id not in self._events]
        if missing:
            self._add(Events(self._tx).by_ids(missing))
        return {event_id: self._events[event_id] for event_id in event_ids if event_id in self._events}

    def rejected(self, event_ids: Collection[EventID]) -> set[EventID]:
        self.events(event_ids)
        return self._rejected.intersection(event_ids)

    def id_of(self, nid: int) -> EventID:
        self._load((nid,))
        return self._ids[nid]

    def key_id(self, key: StateKey) -> int | None:
        rows = StateKeys(self._tx).find([key[0]], [key[1]])
        return rows[0].id if rows else None

    def whole(self, states: Sequence[Snapshot]) -> list[frozenset[EventID]]:
        nids = [list(state.entries().values()) for state in states]
        self._load({nid for each in nids for nid in each})
        return [frozenset(self._ids[nid] for nid in each) for each in nids]

    def _load(self, nids: Collection[int]) -> None:
        missing = [nid for nid in nids if nid not in self._ids]
        if missing:
            self._add(Events(self._tx).by_nids(missing))

    def _add(self, rows: Sequence[EventRow]) -> None:
        for row in rows:
            event = Event.from_trusted(decode(bytes(row.json)), ROOM_VERSIONS[row.room_version], row.event_id)
            self._events[row.event_id] = event
            self._ids[row.nid] = row.event_id
            if row.status == Status.REJECTED:
                self._rejected.add(row.event_id)


class _Agreed(Mapping[StateKey, EventID]):
    """What all states agree on, read key by key: the base state without what is in conflict."""

    def __init__(
        self,
        reader: _Reader,
        base: Snapshot,
        agreed: StateMap,
        conflicted: Mapping[StateKey, frozenset[EventID]],
    ) -> None:
        self._reader = reader
        self._base = base
        self._agreed = agreed
        self._conflicted = conflicted

    def __getitem__(self, key: StateKey) -> EventID:
        if key in self._conflicted:
            raise KeyError(key)
        if key in self._agreed:
            return self._agreed[key]
        key_id = self._reader.key_id(key)
        nid = None if key_id is None else self._base.find(key_id)
        if nid is None:
            raise KeyError(key)
        return self._reader.id_of(nid)

    def __iter__(self) -> Iterator[StateKey]:
        raise TypeError("a view of single keys")

    def __len__(self) -> int:
        return self._base.size
