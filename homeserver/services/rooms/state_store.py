"""Room state at a point of the room: snapshots read through a cache, and their keys' numbers."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from homeserver.protocol.identifiers import StateKey
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.numbers import BlockSequence
from homeserver.services.rooms.stored_event import StoredEvent
from storage.caches import CacheBudget
from storage.database import Database
from storage.snapshots import Layer, Snapshot, derive, unpack_layer
from storage.tables.state import KeyRow, Snapshots, StateKeys
from storage.transaction import Transaction


class StateStore:
    """Snapshots by number. Layers are immutable, so the cache is never stale."""

    def __init__(self, database: Database, events: EventStore, caches: CacheBudget) -> None:
        self._database = database
        self._events = events
        self._ids = BlockSequence(database, "snapshot_ids")
        self._layers = caches.cache("state_layers", Layer.memory)
        self._key_ids = caches.cache("state_key_ids", lambda key_id: 250)
        self._keys = caches.cache("state_keys", lambda key: 200 + len(key[1]))

    async def snapshot(self, snapshot_id: int) -> Snapshot:
        """The snapshot of that number; 0 is the empty state."""
        layers = []
        at: int | None = snapshot_id or None
        while at is not None:
            layer = self._layers.get(at)
            if layer is None:
                layers += await self._stored_layers(at)
                break
            layers.append(layer)
            at = layer.parent
        return Snapshot(tuple(layers))

    async def _stored_layers(self, snapshot_id: int) -> list[Layer]:
        rows = await self._database.read(lambda tx: Snapshots(tx).stack(snapshot_id))
        layers = []
        for row in rows:
            layer = unpack_layer(row.id, row.parent, row.size, bytes(row.set_hash), bytes(row.layer))
            self._layers.put(layer.snapshot_id, layer)
            layers.append(layer)
        return layers

    async def snapshots(self, snapshot_ids: Iterable[int]) -> dict[int, Snapshot]:
        """Several snapshots by their numbers, with at most one query."""
        layers: dict[int, Layer] = {}
        wanted = set(snapshot_ids)
        missing = [snapshot_id for snapshot_id in wanted if not self._gather_cached(snapshot_id, layers)]
        if missing:
            for row in await self._database.read(lambda tx: Snapshots(tx).stacks(missing)):
                layer = unpack_layer(row.id, row.parent, row.size, bytes(row.set_hash), bytes(row.layer))
                self._layers.put(layer.snapshot_id, layer)
                layers[layer.snapshot_id] = layer
        return {snapshot_id: _stacked(snapshot_id, layers) for snapshot_id in wanted}

    def _gather_cached(self, snapshot_id: int, layers: dict[int, Layer]) -> bool:
        """Collect a snapshot's layers from the cache; whether all were there."""
        at: int | None = snapshot_id or None
        while at is not None:
            layer = layers.get(at) or self._layers.get(at)
            if layer is None:
                return False
            layers[at] = layer
            at = layer.parent
        return True

    async def lookup(
        self, snapshot: Snapshot, keys: Collection[StateKey], unsaved: Mapping[int, StoredEvent] | None = None
    ) -> dict[StateKey, StoredEvent]:
        """The state events at ``keys``; ``unsaved`` are events, by number, that the database does not have yet."""
        found: dict[StateKey, StoredEvent] = {}
        wanted: dict[int, StateKey] = {}
        for key, key_id in (await self.known_key_ids(keys)).items():
            nid = snapshot.find(key_id)
            if nid is None:
                continue
            if unsaved and nid in unsaved:
                found[key] = unsaved[nid]
            else:
                wanted[nid] = key
        for nid, stored in (await self._events.by_nids(wanted)).items():
            found[wanted[nid]] = stored
        return found

    async def find(self, snapshot: Snapshot, event_type: str, state_key: str = "") -> StoredEvent | None:
        """One state event, or None."""
        return (await self.lookup(snapshot, ((event_type, state_key),))).get((event_type, state_key))

    async def whole(self, snapshot: Snapshot) -> dict[StateKey, int]:
        """The whole state: state key to event number."""
        entries = snapshot.entries()
        names = await self.key_names(entries)
        return {names[key_id]: nid for key_id, nid in entries.items()}

    async def whole_events(self, snapshot: Snapshot) -> list[StoredEvent]:
        """All state events of a snapshot."""
        return list((await self._events.by_nids(snapshot.entries().values())).values())

    async def derive(self, base: Snapshot, updates: Mapping[StateKey, int]) -> Snapshot:
        """A snapshot (not stored yet) over ``base`` in which ``updates`` hold; ``base`` itself if they already do."""
        ids = await self.key_ids(updates)
        return await self.derive_by_id(base, {ids[key]: nid for key, nid in updates.items()})

    async def derive_by_id(self, base: Snapshot, updates: Mapping[int, int]) -> Snapshot:
        """`derive` with the keys' numbers."""
        changes = base.changes(updates)
        if not changes:
            return base
        derived = derive(base, changes, await self._ids.take())
        self._layers.put(derived.id, derived.layers[0])
        return derived

    async def known_key_ids(self, keys: Collection[StateKey]) -> dict[StateKey, int]:
        """The numbers of those state keys that have one. A key without one is in no state."""
        found, missing = self._cached_key_ids(keys)
        if missing:
            found |= self._remember(await self._database.read(lambda tx: _find(tx, missing)))
        return found

    async def key_ids(self, keys: Collection[StateKey]) -> dict[StateKey, int]:
        """The numbers of all ``keys``; those that have none get one."""
        found, missing = self._cached_key_ids(keys)
        if missing:
            found |= self._remember(await self._database.transact(lambda tx: _intern(tx, missing)))
        return found

    async def key_names(self, key_ids: Iterable[int]) -> dict[int, StateKey]:
        """State keys by their numbers."""
        found: dict[int, StateKey] = {}
        missing = []
        for key_id in key_ids:
            key = self._keys.get(key_id)
            if key is None:
                missing.append(key_id)
            else:
                found[key_id] = key
        if missing:
            rows = await self._database.read(lambda tx: StateKeys(tx).by_ids(missing))
            found |= {key_id: key for key, key_id in self._remember(rows).items()}
        return found

    def _cached_key_ids(self, keys: Collection[StateKey]) -> tuple[dict[StateKey, int], list[StateKey]]:
        found: dict[StateKey, int] = {}
        missing = []
        for key in keys:
            key_id = self._key_ids.get(key)
            if key_id is None:
                missing.append(key)
            else:
                found[key] = key_id
        return found, missing

    def _remember(self, rows: Sequence[KeyRow]) -> dict[StateKey, int]:
        found = {}
        for row in rows:
            key = (row.type, row.state_key)
            found[key] = row.id
            self._key_ids.put(key, row.id)
            self._keys.put(row.id, key)
        return found


def _stacked(snapshot_id: int, layers: Mapping[int, Layer]) -> Snapshot:
    stack = []
    at: int | None = snapshot_id or None
    while at is not None:
        layer = layers[at]
        stack.append(layer)
        at = layer.parent
    return Snapshot(tuple(stack))


def _find(tx: Transaction, keys: list[StateKey]) -> list[KeyRow]:
    return StateKeys(tx).find([event_type for event_type, _ in keys], [state_key for _, state_key in keys])


def _intern(tx: Transaction, keys: list[StateKey]) -> list[KeyRow]:
    table = StateKeys(tx)
    table.commit_lazily()
    ordered = sorted(keys)
    table.intern([event_type for event_type, _ in ordered], [state_key for _, state_key in ordered])
    return _find(tx, ordered)
