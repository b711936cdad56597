"""State resolution on stored snapshots: off the reactor, by the difference between the states, each result remembered.

Everything works on the compact numbers of events. Auth chains are walked on the edges that are stored with each
state event, a generation a query; only the events in conflict are read whole.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from homeserver.protocol.canonical_json import decode
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.protocol.room_versions import ROOM_VERSIONS, RoomVersion, StateResolution
from homeserver.protocol.state_resolution.resolve import resolve_conflicts
from homeserver.protocol.state_resolution.sources import Conflicts, StateMap
from homeserver.protocol.state_resolution.walking import auth_difference, conflicted_subgraph
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import unpack_nids
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent
from storage.caches import CacheBudget
from storage.snapshots import GONE, Snapshot, differing
from storage.tables.events import EventRow, Events
from storage.tables.state import StateKeys
from storage.threaded import ThreadedReads
from storage.transaction import Transaction


class TooCostly(Exception):
    """To resolve these states takes more steps than are allowed."""


class StateResolver:
    """Makes one state of several. https://spec.matrix.org/v1.19/server-server-api/#room-state-resolution"""

    def __init__(
        self,
        reads: ThreadedReads,
        events: EventStore,
        states: StateStore,
        caches: CacheBudget,
        max_steps: int,
    ) -> None:
        """``max_steps``: how many events and references of theirs one resolution may look at."""
        self._reads = reads
        self._events = events
        self._states = states
        self._results = caches.cache("resolutions", lambda snapshot_id: 300)
        self._max_steps = max_steps

    async def resolve(
        self, version: RoomVersion, states: Sequence[Snapshot], unsaved: Mapping[int, StoredEvent]
    ) -> Snapshot:
        """The resolution of at least one state; ``unsaved`` are events by number that are not written yet.

        Raises TooCostly.
        """
        distinct = list({state.set_hash: state for state in states}.values())
        if len(distinct) == 1:
            return distinct[0]
        name = frozenset(state.id for state in distinct)
        known = self._results.get(name)
        if known is not None:
            found = await self._states.snapshot(known)
            if found.id == known:  # else it was made for a write that never came about
                return found
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
        conflicted: dict[StateKey, frozenset[EventID]] = {}
        agreed: dict[StateKey, EventID] = {}
        for key in keys:
            ids = frozenset(by_nid[nid].event.event_id for state in states if (nid := state.find(key)))
            if len(ids) == 1 and version.state_resolution is StateResolution.V1:
                agreed[names[key]] = next(iter(ids))
            else:
                conflicted[names[key]] = ids
        disputed = [{nid for key in keys if (nid := state.find(key))} for state in states]

        def run(tx: Transaction) -> dict[StateKey, EventID]:
            reader = _Reader(tx, (*unsaved.values(), *by_nid.values()), self._max_steps)
            return resolve_conflicts(
                version,
                Conflicts(conflicted, _Agreed(reader, base, agreed, conflicted)),
                reader.events,
                lambda: reader.ids(auth_difference(disputed, lambda: _common(base, keys), reader.auth_edges)),
                lambda ids: reader.ids(conflicted_subgraph(reader.nids(ids), reader.auth_edges)),
                reader.rejected,
            )

        result = agreed | (await self._reads.read(run))
        stored = {one.event.event_id: one for one in (*unsaved.values(), *by_nid.values())}
        stored |= await self._events.by_ids(set(result.values()) - stored.keys())
        updates = {key: stored[result[names[key]]].nid if names[key] in result else GONE for key in keys}
        return await self._states.derive_by_id(base, updates)


def _common(base: Snapshot, disputed_keys: Collection[int]) -> list[int]:
    """The events that all states have: those of one of them, but for the keys in dispute."""
    return [nid for key, nid in base.entries().items() if key not in disputed_keys]


class _Reader:
    """Reads inside a resolution, on its thread: no cache of the reactor's thread is touched."""

    def __init__(self, tx: Transaction, known: Collection[StoredEvent], steps: int) -> None:
        self._tx = tx
        self._steps_left = steps
        self._events: dict[EventID, Event] = {}
        self._nids: dict[EventID, int] = {}
        self._ids: dict[int, EventID] = {}
        self._rejected: set[EventID] = set()
        self._unsaved_edges = {stored.nid: stored.auth_nids for stored in known if stored.auth_nids}
        for stored in known:
            self._add(stored.event, stored.nid, stored.status)

    def events(self, event_ids: Collection[EventID]) -> dict[EventID, Event]:
        """Those events that are here."""
        missing = [event_id for event_id in event_ids if event_id not in self._events]
        if missing:
            self._add_rows(Events(self._tx).by_ids(missing))
        return {event_id: self._events[event_id] for event_id in event_ids if event_id in self._events}

    def rejected(self, event_ids: Collection[EventID]) -> set[EventID]:
        """Those of some events that were rejected."""
        self.events(event_ids)
        return self._rejected.intersection(event_ids)

    def ids(self, nids: Collection[int]) -> set[EventID]:
        """The IDs of events by number."""
        missing = [nid for nid in nids if nid not in self._ids]
        if missing:
            self._add_rows(Events(self._tx).by_nids(missing))
        return {self._ids[nid] for nid in nids if nid in self._ids}

    def nids(self, event_ids: Collection[EventID]) -> set[int]:
        """The numbers of events by ID."""
        return {self._nids[event_id] for event_id in self.events(event_ids)}

    def auth_edges(self, nids: Collection[int]) -> dict[int, Sequence[int]]:
        """The numbers of the auth events of state events."""
        edges: dict[int, Sequence[int]] = {
            nid: self._unsaved_edges[nid] for nid in nids if nid in self._unsaved_edges
        }
        missing = [nid for nid in nids if nid not in edges]
        if missing:
            edges.update(
                (nid, unpack_nids(bytes(auth))) for nid, auth in Events(self._tx).auth_edges(missing)
            )
        self._spend(len(nids) + sum(map(len, edges.values())))
        return edges

    def at(self, state: Snapshot, key: StateKey) -> EventID | None:
        """The event at a key of a state."""
        rows = StateKeys(self._tx).find([key[0]], [key[1]])
        nid = state.find(rows[0].id) if rows else None
        return None if nid is None else next(iter(self.ids((nid,))), None)

    def _spend(self, steps: int) -> None:
        self._steps_left -= steps
        if self._steps_left < 0:
            raise TooCostly("The state of the room takes too many steps to resolve")

    def _add_rows(self, rows: Sequence[EventRow]) -> None:
        self._spend(len(rows))
        for row in rows:
            pdu: Any = decode(row.json)
            event = Event.from_trusted(pdu, ROOM_VERSIONS[row.room_version], row.event_id)
            self._add(event, row.nid, row.status)

    def _add(self, event: Event, nid: int, status: int) -> None:
        self._events[event.event_id] = event
        self._nids[event.event_id] = nid
        self._ids[nid] = event.event_id
        if status == Status.REJECTED:
            self._rejected.add(event.event_id)


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
        event_id = None
        if key not in self._conflicted:
            event_id = self._agreed.get(key) or self._reader.at(self._base, key)
        if event_id is None:
            raise KeyError(key)
        return event_id

    def __iter__(self) -> Iterator[StateKey]:
        raise TypeError("a view of single keys")

    def __len__(self) -> int:
        return self._base.size
