"""Bundled aggregations: what events are told of their children.

https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events. Most events have no children;
which have is kept in memory, so that for the others nothing is asked. State events get none.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.protocol.events.content import relation_of
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.services.rooms.access import Access, Reader, Seen
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.ignored_users import ignored_by
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.room_elsewhere import RoomElsewhere
from homeserver.services.rooms.stored_event import StoredEvent
from storage.caches import CacheBudget
from storage.database import Database
from storage.journal import Journal, Landed
from storage.tables.relations import Relations, ThreadSummary
from storage.transaction import Transaction

REPLACE, THREAD, REFERENCE = "m.replace", "m.thread", "m.reference"
MAX_REFERENCES = 100
"""References that one event is told of."""
_CANDIDATES = 5
"""Of edits and of replies so many of the latest are looked at for one that the reader may see."""
_FURTHEST = 2**63 - 1


@dataclass(slots=True)
class Thread:
    """What the root of a thread is told of it."""

    latest: Seen
    count: int
    participated: bool


@dataclass(slots=True)
class Bundle:
    """What one event is told of its children."""

    replaced_by: Seen | None = None
    thread: Thread | None = None
    references: list[EventID] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Children:
    """Rows of children, by kind, before it is known whether the reader may see them."""

    edits: Sequence[tuple[EventID, int]] = ()
    threads: Sequence[ThreadSummary] = ()
    references: Sequence[tuple[EventID, int]] = ()

    def nids(self) -> set[int]:
        pairs = {nid for _, nid in (*self.edits, *self.references)}
        return pairs | {nid for thread in self.threads for nid in thread.latest}


class Aggregations:
    """Reads aggregations."""

    def __init__(
        self, database: Database, journal: Journal, events: EventStore, access: Access, caches: CacheBudget
    ) -> None:
        self._database = database
        self._events = events
        self._access = access
        self._kinds = caches.cache("event_children", lambda kinds: 200)
        self._changes = 0
        journal.listen(self._landed, self._missed)

    def differ_by_reader(self, events: Iterable[StoredEvent]) -> bool:
        """Whether readers who may see the same of some events may be told different things of their children, as far
        as is known in memory.
        """
        known = (self._kinds.get(each.event.event_id) for each in events if not each.event.is_state)
        return any(kinds is None or THREAD in kinds for kinds in known)

    async def of(self, user_id: UserID, events: Iterable[StoredEvent]) -> dict[int, Bundle]:
        """What a user is told of the children of events, by the events' numbers."""
        plain = {each.event.event_id: each for each in events if not each.event.is_state}
        kinds = await self._known_kinds(list(plain))
        rooms: dict[RoomID, list[StoredEvent]] = {}
        for event_id, stored in plain.items():
            if kinds[event_id]:
                rooms.setdefault(stored.event.room_id, []).append(stored)
        bundles: dict[int, Bundle] = {}
        for room_id, parents in rooms.items():
            bundles |= await self._in_room(user_id, room_id, parents, kinds)
        return bundles

    async def _in_room(
        self,
        user_id: UserID,
        room_id: RoomID,
        parents: Sequence[StoredEvent],
        kinds: Mapping[EventID, frozenset[str]],
    ) -> dict[int, Bundle]:
        reader = await self._access.reader(room_id, user_id)

        def wanted(kind: str) -> list[EventID]:
            ids = [(each, each.event.event_id) for each in parents if kind in kinds[each.event.event_id]]
            return [event_id for each, event_id in ids if _may_have(each, kind)]

        children = await self._database.read(
            lambda tx: _children(tx, reader, wanted(REPLACE), wanted(THREAD), wanted(REFERENCE))
        )
        found = await self._events.by_nids(children.nids())
        seen = {each.stored.nid: each for each in await self._access.select(reader, list(found.values()))}
        return _bundled(user_id, {each.event.event_id: each for each in parents}, children, seen)

    async def _known_kinds(self, event_ids: list[EventID]) -> dict[EventID, frozenset[str]]:
        known: dict[EventID, frozenset[str]] = {}
        missing = []
        for event_id in event_ids:
            kinds = self._kinds.get(event_id)
            if kinds is None:
                missing.append(event_id)
            else:
                known[event_id] = kinds
        if not missing:
            return known
        changes = self._changes
        rows = await self._database.read(lambda tx: Relations(tx).aggregated_kinds(missing))
        for event_id in missing:
            known[event_id] = (
                frozenset(kind for parent, kind in rows if parent == event_id) if rows else _NONE
            )
            if changes == self._changes:
                self._kinds.put(event_id, known[event_id])
        return known

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        for _, payload, _ in landed:
            if isinstance(payload, RoomCommit | RoomElsewhere) and payload.parents:
                self._changes += 1
                for event_id in payload.parents:
                    self._kinds.pop(event_id)

    def _missed(self, upto: int) -> None:
        self._changes += 1
        self._kinds.clear()


_NONE: frozenset[str] = frozenset()


def _may_have(parent: StoredEvent, kind: str) -> bool:
    """An edit is not edited, nor is what was redacted; a thread does not begin within a relation."""
    relation = relation_of(parent.event)
    if kind == REPLACE:
        return parent.redacted_by is None and (relation is None or relation.rel_type != REPLACE)
    return kind != THREAD or relation is None


def _children(
    tx: Transaction,
    reader: Reader,
    edited: list[EventID],
    roots: list[EventID],
    referenced: list[EventID],
) -> _Children:
    table, room_id = Relations(tx), reader.room_id
    upto = _FURTHEST if math.isinf(reader.joined_until) else int(reader.joined_until)
    # Who was never inside may be shown what anybody may read; `select` decides.
    upto = upto or _FURTHEST
    ignored = sorted(ignored_by(tx, reader.user_id))
    return _Children(
        table.edits(edited, upto, ignored, _CANDIDATES) if edited else (),
        table.threads(room_id, roots, reader.user_id, upto, ignored, _CANDIDATES) if roots else (),
        table.references(room_id, referenced, upto, ignored, MAX_REFERENCES) if referenced else (),
    )


def _bundled(
    user_id: UserID,
    parents: Mapping[EventID, StoredEvent],
    children: _Children,
    seen: Mapping[int, Seen],
) -> dict[int, Bundle]:
    bundles: dict[int, Bundle] = {}
    for parent_id, nid in children.edits:
        bundle = bundles.setdefault(parents[parent_id].nid, Bundle())
        if bundle.replaced_by is None:
            bundle.replaced_by = seen.get(nid)
    for row in children.threads:
        latest = next((seen[nid] for nid in row.latest if nid in seen), None)
        if latest is not None:
            parent = parents[row.parent]
            participated = row.participated or parent.event.sender == user_id
            bundles.setdefault(parent.nid, Bundle()).thread = Thread(latest, row.count, participated)
    for parent_id, nid in children.references:
        if nid in seen:
            bundle = bundles.setdefault(parents[parent_id].nid, Bundle())
            bundle.references.append(seen[nid].stored.event.event_id)
    return bundles
