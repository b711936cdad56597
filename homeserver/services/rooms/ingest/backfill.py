"""Fetching history that this server does not have, when somebody reads where it is missing.

https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import structlog
from twisted.internet.defer import Deferred, DeferredList

from homeserver.clock import Clock
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.sticky import sticky_until
from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from homeserver.services.keyed_locks import KeyedLocks
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import RoomHead
from homeserver.services.rooms.ingest.missing import MissingHistory
from homeserver.services.rooms.ingest.order import oldest_first
from homeserver.services.rooms.ingest.placing import Arrival, EventPlacer, Placed
from homeserver.services.rooms.ingest.receiving import EventReceiver
from homeserver.services.rooms.numbers import BlockSequence
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.remote_servers import RemoteServers
from homeserver.services.rooms.writer import RoomWriter
from storage.snapshots import Snapshot

log = structlog.get_logger(__name__)

MAX_SERVERS = 5
"""Servers asked, one after the other, until one has something."""
MAX_GAPS = 20
MAX_BOUNDARIES = 10
"""Events of one answer before which we ask for the state."""
LEAST = 20
"""We never ask for fewer: the next page is read soon."""
MOST = 100
PAUSE_MS = 60_000
"""How long a gap is left alone that nobody could fill."""
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class PastEvents:
    """How events of the past come into a room. ``orderings`` numbers them, the latest first."""

    placer: EventPlacer
    writer: RoomWriter
    orderings: BlockSequence
    partial: PartialRooms


class Backfilling:
    """Fills gaps in rooms that this server is in."""

    def __init__(
        self,
        receiver: EventReceiver,
        missing: MissingHistory,
        servers: RemoteServers,
        past: PastEvents,
        clock: Clock,
    ) -> None:
        self._receiver = receiver
        self._missing = missing
        self._servers = servers
        self._past = past
        self._clock = clock
        self._locks: KeyedLocks[RoomID] = KeyedLocks()
        self._hopeless: dict[frozenset[EventID], int] = {}

    async def fill(self, room_id: RoomID, depth: int, limit: int) -> bool:
        """Fetch events before the gaps at or below ``depth``, about ``limit``; whether any were added."""
        await self._past.partial.whole_for_history(room_id)
        async with self._locks.holding(room_id):
            head = await self._receiver.present(room_id)
            if head is None or head.partial:
                return False  # its past would be judged by states that lack members, and by others than it has now
            every = await self._missing.gaps(room_id)
            gaps = frozenset([event_id for event_id, at in every if at <= depth][:MAX_GAPS])
            if not gaps or self._hopeless.get(gaps, 0) > self._clock.now_ms():
                return False
            limit = max(LEAST, min(limit, MOST))
            for server in (await self._servers.members(room_id))[:MAX_SERVERS]:
                if await self._fill_from(server, head, gaps, limit):
                    return True
            self._give_up(gaps)
            return False

    async def _fill_from(
        self, server: ServerName, head: RoomHead, gaps: Collection[EventID], limit: int
    ) -> bool:
        events = _connected(await self._missing.history(server, head, gaps, limit), gaps)
        history = await self._missing.not_placed(events)
        if not history.new:
            return False
        await self._missing.fetch_auth_events(server, head, history.new)
        states = await self._states_at_boundaries(server, head, history.new)
        ordered = oldest_first(history.new)
        places = {event.event_id: -await self._past.orderings.take() for event in reversed(ordered)}
        sticky = self._sticky(ordered)
        arrivals = [
            Arrival(
                event,
                state_before=states.get(event.event_id),
                outlier=history.outliers.get(event.event_id),
                fills_gap=event.event_id in history.fills,
                redactions=history.redactions.get(event.event_id, ()),
                past=places[event.event_id],
                sticky=event.event_id in sticky,
            )
            for event in ordered
        ]
        return await self._write(server, head.room_id, arrivals)

    def _sticky(self, events: Iterable[Event]) -> set[EventID]:
        """What clients are to be told of as new nevertheless: messages that are sticky still. Later events of the room
        are here already, so they become no extremities.

        https://github.com/matrix-org/matrix-spec-proposals/pull/4354
        """
        now = self._clock.now_ms()
        return {event.event_id for event in events if not event.is_state and sticky_until(event, now) > now}

    async def _states_at_boundaries(
        self, server: ServerName, head: RoomHead, events: Sequence[Event]
    ) -> dict[EventID, Snapshot]:
        """The states before those events whose previous ones stay unknown."""
        unknown = await self._missing.unplaced_before(events)
        edge = [event for event in events if not unknown.isdisjoint(event.prev_event_ids)]
        states = {}
        for event in edge[:MAX_BOUNDARIES]:
            state = await self._missing.state_before(server, head, event.event_id)
            if state is not None:
                states[event.event_id] = state
        return states

    async def _write(self, server: ServerName, room_id: RoomID, arrivals: Sequence[Arrival]) -> bool:
        writes: list[Deferred[Placed]] = [
            Deferred.fromCoroutine(self._past.writer.write(room_id, self._job(arrival)))
            for arrival in arrivals
        ]
        results = await DeferredList(writes, consumeErrors=True)
        for arrival, (succeeded, result) in zip(arrivals, results, strict=True):
            if not succeeded:
                event_id = arrival.event.event_id
                log.info("history not taken", server=server, event_id=event_id, error=repr(result))
        return any(succeeded and result.new for succeeded, result in results)

    def _job(self, arrival: Arrival) -> Callable[[RoomDraft], Awaitable[Placed]]:
        async def job(draft: RoomDraft) -> Placed:
            return await self._past.placer.place(draft, arrival)

        return job

    def _give_up(self, gaps: frozenset[EventID]) -> None:
        if len(self._hopeless) >= _REMEMBERED:
            self._hopeless.clear()
        self._hopeless[gaps] = self._clock.now_ms() + PAUSE_MS


def _connected(events: Sequence[Event], gaps: Collection[EventID]) -> list[Event]:
    """Those of the events that lie before a gap: others have no business here."""
    by_id = {event.event_id: event for event in events}
    reached: set[EventID] = set()
    edge = [event_id for event_id in gaps if event_id in by_id]
    while edge:
        event_id = edge.pop()
        if event_id not in reached:
            reached.add(event_id)
            edge.extend(one for one in by_id[event_id].prev_event_ids if one in by_id)
    return [event for event in events if event.event_id in reached]
