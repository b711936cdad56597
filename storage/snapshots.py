"""Room state as content-addressed snapshots in layers; pure.

A snapshot maps numbered state keys to event numbers. It is a stack of immutable layers, newest on top; a layer that
grows beyond half of the one below is folded into it. So sizes at least double from layer to layer: a snapshot of n
entries has O(log n) layers, and a state change costs O(log n) entries, amortised. Layers are shared by all snapshots
above them and are packed arrays, 16 bytes an entry, in memory as on disk.
"""

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from struct import pack

_HASH_BITS = 128
_HASH_MASK = (1 << _HASH_BITS) - 1
GONE = 0
"""The event number of an entry that a layer takes away."""


def entry_hash(key: int, nid: int) -> int:
    """The 128-bit hash of one entry; the hash of a state is the sum of its entries', so it changes by the delta."""
    if nid == GONE:
        return 0
    return int.from_bytes(blake2b(pack("<qq", key, nid), digest_size=_HASH_BITS // 8).digest(), "little")


@dataclass(slots=True, eq=False)
class Layer:
    """One layer: sorted key numbers and, in the same order, event numbers. Nothing of it changes but ``stored``:
    whether it is in the database.
    """

    snapshot_id: int
    parent: int | None
    size: int
    set_hash: int
    keys: "array[int]"
    nids: "array[int]"
    stored: bool = False

    def find(self, key: int) -> int | None:
        """The event number of ``key`` in this layer, `GONE` if taken away, None if this layer does not say."""
        at = bisect_left(self.keys, key)
        if at < len(self.keys) and self.keys[at] == key:
            return self.nids[at]
        return None

    def packed(self) -> bytes:
        return self.keys.tobytes() + self.nids.tobytes()

    def hash_bytes(self) -> bytes:
        return self.set_hash.to_bytes(_HASH_BITS // 8, "little")

    def memory(self) -> int:
        """Bytes that the layer takes in memory."""
        return 300 + 16 * len(self.keys)


def unpack_layer(snapshot_id: int, parent: int | None, size: int, set_hash: bytes, packed: bytes) -> Layer:
    half = len(packed) // 2
    keys, nids = array("q"), array("q")
    keys.frombytes(packed[:half])
    nids.frombytes(packed[half:])
    return Layer(snapshot_id, parent, size, int.from_bytes(set_hash, "little"), keys, nids, stored=True)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole state: layers from the newest to the oldest. The empty state has none."""

    layers: tuple[Layer, ...] = ()

    @property
    def id(self) -> int:
        """The number of the snapshot; 0 is the empty state."""
        return self.layers[0].snapshot_id if self.layers else 0

    @property
    def size(self) -> int:
        return self.layers[0].size if self.layers else 0

    @property
    def set_hash(self) -> int:
        return self.layers[0].set_hash if self.layers else 0

    def find(self, key: int) -> int | None:
        """The event number of the state key numbered ``key``, or None."""
        for layer in self.layers:
            nid = layer.find(key)
            if nid is not None:
                return nid or None
        return None

    def entries(self) -> dict[int, int]:
        """The whole state, key number to event number."""
        merged: dict[int, int] = {}
        for layer in reversed(self.layers):
            merged.update(zip(layer.keys, layer.nids, strict=True))
        if len(self.layers) > 1:
            return {key: nid for key, nid in merged.items() if nid != GONE}
        return merged

    def changes(self, updates: Mapping[int, int]) -> dict[int, int]:
        """Those of ``updates`` (`GONE` takes an entry away) that say something else than this state."""
        return {key: nid for key, nid in updates.items() if (self.find(key) or GONE) != nid}

    def hash_after(self, changes: Mapping[int, int]) -> int:
        """The set hash of the state that ``changes`` lead to."""
        total = self.set_hash
        for key, nid in changes.items():
            total += entry_hash(key, nid) - entry_hash(key, self.find(key) or GONE)
        return total & _HASH_MASK


def derive(base: Snapshot, changes: Mapping[int, int], snapshot_id: int) -> Snapshot:
    """The snapshot ``snapshot_id`` that lies over ``base`` by ``changes``, which must be as `Snapshot.changes`
    gives them.
    """
    set_hash = base.hash_after(changes)
    size = base.size
    for key, nid in changes.items():
        size += (nid != GONE) - (base.find(key) is not None)
    top = dict(changes)
    rest = base.layers
    while rest and 2 * len(top) > len(rest[0].keys):
        top = dict(zip(rest[0].keys, rest[0].nids, strict=True)) | top
        rest = rest[1:]
    if not rest:
        top = {key: nid for key, nid in top.items() if nid != GONE}
    keys = array("q", sorted(top))
    layer = Layer(
        snapshot_id=snapshot_id,
        parent=rest[0].snapshot_id if rest else None,
        size=size,
        set_hash=set_hash,
        keys=keys,
        nids=array("q", [top[key] for key in keys]),
    )
    return Snapshot((layer, *rest))


def differing(base: Snapshot, other: Snapshot) -> dict[int, tuple[int, int]]:
    """Where two states differ: key number to (event number in ``base``, in ``other``), `GONE` for none.

    Layers that both share are not read."""
    shared = {layer.snapshot_id for layer in base.layers} & {layer.snapshot_id for layer in other.layers}
    keys: set[int] = set()
    for snapshot in (base, other):
        for layer in snapshot.layers:
            if layer.snapshot_id in shared:
                break
            keys.update(layer.keys)
    found = {}
    for key in keys:
        pair = (base.find(key) or GONE, other.find(key) or GONE)
        if pair[0] != pair[1]:
            found[key] = pair
    return found
