"""The head of a room: what a next event is built on."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import astuple

from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.room_versions import RoomVersion, room_version
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.rooms.summary import RoomSummary
from storage.caches import CacheBudget
from storage.database import Database
from storage.snapshots import Snapshot
from storage.tables.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Extremity:
    """A forward extremity: an event that no other event names as its previous one."""

    nid: int
    event_id: EventID
    depth: int


@dataclass(frozen=True, slots=True)
class RoomHead:
    """A committed room. ``version`` counts its writes; 0 is a room that is not stored yet. ``partial``: this server was
    not told most of its members yet.
    """

    room_id: RoomID
    room_version: RoomVersion
    version: int
    state: Snapshot
    extremities: tuple[Extremity, ...]
    last_pos: int
    summary: RoomSummary
    partial: bool = False

    @property
    def depth(self) -> int:
        return max((extremity.depth for extremity in self.extremities), default=0)


def empty_head(room_id: RoomID, version: RoomVersion) -> RoomHead:
    """The head of a room that this server does not know yet."""
    return RoomHead(room_id, version, 0, Snapshot(), (), 0, RoomSummary())


class RoomHeads:
    """Heads by room, cached. A stale one does no harm: the write that builds on it loses its race and asks again."""

    def __init__(
        self, database: Database, events: EventStore, states: StateStore, caches: CacheBudget
    ) -> None:
        self._database = database
        self._events = events
        self._states = states
        self._cache = caches.cache("room_heads", lambda head: 1200 + 200 * len(head.extremities))
        self._forgotten = 0

    async def find(self, room_id: RoomID) -> RoomHead | None:
        """The head of a room, or None if this server has never had a part in it."""
        head = self._cache.get(room_id)
        if head is None:
            forgotten = self._forgotten
            head = await self._load(room_id)
            if head is not None and forgotten == self._forgotten:
                self._cache.put(room_id, head)
        return head

    def put(self, head: RoomHead) -> None:
        self._cache.put(head.room_id, head)

    def forget(self, room_id: RoomID) -> None:
        self._forgotten += 1
        self._cache.pop(room_id)

    def forget_all(self) -> None:
        self._forgotten += 1
        self._cache.clear()

    async def _load(self, room_id: RoomID) -> RoomHead | None:
        row, summary = await self._database.read(
            lambda tx: (Rooms(tx).head(room_id), Rooms(tx).summary(room_id))
        )
        if row is None or summary is None:
            return None
        nids = unpack_nids(bytes(row.extremities))
        events = await self._events.by_nids(nids)
        return RoomHead(
            room_id=room_id,
            room_version=room_version(row.room_version),
            version=row.version,
            state=await self._states.snapshot(row.state),
            extremities=tuple(extremity_of(events[nid]) for nid in nids),
            last_pos=row.last_pos,
            summary=RoomSummary(*astuple(summary)),
            partial=row.partial,
        )


def extremity_of(stored: StoredEvent) -> Extremity:
    return Extremity(stored.nid, stored.event.event_id, stored.event.depth)


def pack_nids(nids: Iterable[int]) -> bytes:
    return array("q", nids).tobytes()


def unpack_nids(packed: bytes) -> Sequence[int]:
    nids = array("q")
    nids.frombytes(packed)
    return nids
