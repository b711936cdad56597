"""What this server tells others of the rooms that both are in: events, states, auth chains, history.

https://spec.matrix.org/v1.19/server-server-api/#retrieving-events
https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from homeserver.protocol.errors import NotFound
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import RoomHead, unpack_nids
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.server_access import ServerAccess
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent
from storage.tables.events import Events
from storage.threaded import ThreadedReads
from storage.transaction import Transaction

MAX_BACKFILL = 100
MAX_MISSING = 100
MAX_NAMED = 100
"""Event IDs of a question that we look at."""


@dataclass(frozen=True, slots=True)
class StateJson:
    """A state and all events that authorise it, as JSON arrays of PDUs."""

    state: bytes
    auth_chain: bytes


@dataclass(frozen=True, slots=True)
class StateIDs:
    """The same as event IDs."""

    state: list[EventID]
    auth_chain: list[EventID]


class RoomExports:
    """Reads rooms for other servers."""

    def __init__(
        self,
        access: ServerAccess,
        events: EventStore,
        states: StateStore,
        reads: ThreadedReads,
        partial: PartialRooms,
    ) -> None:
        self._partial = partial
        self._access = access
        self._events = events
        self._states = states
        self._reads = reads

    async def event(self, server: ServerName, event_id: EventID) -> Event:
        """One event. Raises NotFound, Forbidden."""
        stored = await self._events.find(event_id)
        if stored is None or stored.status is Status.REJECTED:
            raise NotFound("Event not found")
        head = await self._access.shared(stored.event.room_id, server)
        return (await self._access.select(head, server, [stored]))[0]

    async def state_at(self, server: ServerName, room_id: RoomID, event_id: EventID) -> StateJson:
        """The state before an event. Its events are not looked into, so a large one costs little. Raises NotFound,
        Forbidden, UnableDueToPartialState.
        """
        snapshot = await self._states.snapshot(await self._snapshot_before(server, room_id, event_id))
        nids = list(snapshot.entries().values())

        def read(tx: Transaction) -> StateJson:
            table, chain = Events(tx), list(auth_chain_numbers(tx, nids))
            return StateJson(json_array(table.json_of(nids)), json_array(table.json_of(chain)))

        return await self._reads.read(read)

    async def state_ids_at(self, server: ServerName, room_id: RoomID, event_id: EventID) -> StateIDs:
        """The same as event IDs."""
        snapshot = await self._states.snapshot(await self._snapshot_before(server, room_id, event_id))
        nids = list(snapshot.entries().values())

        def read(tx: Transaction) -> StateIDs:
            return StateIDs(Events(tx).ids_of(nids), Events(tx).ids_of(list(auth_chain_numbers(tx, nids))))

        return await self._reads.read(read)

    async def _snapshot_before(self, server: ServerName, room_id: RoomID, event_id: EventID) -> int:
        if (await self._access.shared(room_id, server)).partial:
            await self._partial.whole_for_servers(room_id)
            await self._access.shared(room_id, server)
        stored = await self._find(room_id, event_id)
        if stored.state_before is None:
            raise NotFound("The state before this event is not known here")
        return stored.state_before

    async def auth_chain_of(self, server: ServerName, room_id: RoomID, event_id: EventID) -> list[Event]:
        """All events that authorise an event, the create event even where it is implied. Raises NotFound, Forbidden."""
        await self._access.shared(room_id, server)
        stored = await self._find(room_id, event_id)
        event = stored.event
        implied = [EventID("$" + room_id[1:])] if event.version.room_id_is_create_hash else []
        chain: dict[EventID, StoredEvent] = {}
        wanted = {*event.auth_event_ids, *implied} - {event_id}
        while wanted:
            found = await self._events.by_ids(wanted)
            chain |= found
            wanted = {
                auth_id
                for stored in found.values()
                for auth_id in stored.event.auth_event_ids
                if auth_id not in chain
            }
        return [each.event for each in chain.values()]

    async def backfill(
        self, server: ServerName, room_id: RoomID, event_ids: Collection[EventID], limit: int
    ) -> list[Event]:
        """The events named and those before them, the latest first. Raises NotFound, Forbidden."""
        head = await self._access.shared(room_id, server)
        limit = min(limit, MAX_BACKFILL)
        found: dict[EventID, StoredEvent] = {}
        edge = {*list(event_ids)[:MAX_NAMED]}
        while edge and len(found) < limit:
            step = await self._of_room(room_id, edge)
            edge = set()
            for stored in sorted(step, key=lambda each: each.event.depth, reverse=True):
                if len(found) < limit:
                    found[stored.event.event_id] = stored
                    edge.update(stored.event.prev_event_ids)
            edge -= found.keys()
        return await self._access.select(head, server, list(found.values()))

    async def missing(
        self,
        server: ServerName,
        room_id: RoomID,
        earliest: Collection[EventID],
        latest: Collection[EventID],
        limit: int,
        min_depth: int,
    ) -> list[Event]:
        """The events between two sets, which are not in the answer, the earliest first. Raises NotFound, Forbidden."""
        head = await self._access.shared(room_id, server)
        found = await self._between(head, set(earliest), list(latest)[:MAX_NAMED], limit, min_depth)
        found.sort(key=lambda stored: (stored.event.depth, stored.ordering or 0))
        return await self._access.select(head, server, found)

    async def _between(
        self, head: RoomHead, stop: set[EventID], latest: list[EventID], limit: int, min_depth: int
    ) -> list[StoredEvent]:
        limit = max(0, min(limit, MAX_MISSING))
        found: dict[EventID, StoredEvent] = {}
        seen = stop | set(latest)
        edge = {
            prev_id
            for stored in await self._of_room(head.room_id, latest)
            for prev_id in stored.event.prev_event_ids
        } - seen
        while edge and len(found) < limit:
            step = await self._of_room(head.room_id, edge)
            seen |= edge
            edge = set()
            for stored in sorted(step, key=lambda each: each.event.depth, reverse=True):
                if len(found) < limit and stored.event.depth >= min_depth:
                    found[stored.event.event_id] = stored
                    edge.update(stored.event.prev_event_ids)
            edge -= seen
        return list(found.values())

    async def _of_room(self, room_id: RoomID, event_ids: Iterable[EventID]) -> list[StoredEvent]:
        """Those events that have a place in the room."""
        return [
            stored
            for stored in (await self._events.by_ids(event_ids)).values()
            if stored.event.room_id == room_id
            and not stored.is_outlier
            and stored.status is not Status.REJECTED
        ]

    async def _find(self, room_id: RoomID, event_id: EventID) -> StoredEvent:
        stored = await self._events.find(event_id)
        if stored is None or stored.event.room_id != room_id or stored.status is Status.REJECTED:
            raise NotFound("Event not found")
        return stored


def auth_chain_numbers(tx: Transaction, nids: Iterable[int]) -> set[int]:
    """The numbers of all events that authorise some state events."""
    chain: set[int] = set()
    edge = set(nids)
    while edge:
        found = {
            auth for _, packed in Events(tx).auth_edges(list(edge)) for auth in unpack_nids(bytes(packed))
        }
        edge = found - chain
        chain |= edge
    return chain


def json_array(pdus: Iterable[str]) -> bytes:
    """PDUs that are JSON already as a JSON array."""
    return f"[{','.join(pdus)}]".encode()
