"""Receiving events of a room from another server: the one pipeline, whatever brought them.

Parse, signatures and hash (`checking`), what is missing before them (`missing`), then one job each in the
room's queue (`placing`). Each event is judged by itself: one that cannot be taken is set aside with its
reason, and the others go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import RoomHead, RoomHeads
from homeserver.services.rooms.ingest.checking import PduChecker
from homeserver.services.rooms.ingest.early import Early
from homeserver.services.rooms.ingest.entering import Entering
from homeserver.services.rooms.ingest.missing import MissingHistory
from homeserver.services.rooms.ingest.order import oldest_first
from homeserver.services.rooms.ingest.placing import Arrival, EventPlacer, MissingEvents, Placed
from homeserver.services.rooms.resolver import TooCostly
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.rooms.writer import RoomWriter
from storage.database import DatabaseUnavailable

log = structlog.get_logger(__name__)

Outcome = dict[EventID, str | None]
"""By event ID: None for an accepted event, else why it was not."""


@dataclass(frozen=True, slots=True)
class Received:
    """What came of received events: ``placed`` are in the room now, those before them included, and ``early`` could
    not be placed as what they build on is not here.
    """

    outcome: Outcome
    placed: list[EventID] = field(default_factory=list)
    early: list[Early] = field(default_factory=list)


class EventReceiver:
    """Takes events into rooms that this server takes part in."""

    def __init__(
        self,
        heads: RoomHeads,
        writer: RoomWriter,
        placer: EventPlacer,
        checker: PduChecker,
        missing: MissingHistory,
        entering: Entering,
    ) -> None:
        self._heads = heads
        self._writer = writer
        self._placer = placer
        self._checker = checker
        self._missing = missing
        self._entering = entering

    async def participating(self, room_id: RoomID) -> RoomHead | None:
        """The head of a room that this server takes part in; waits for a join that is under way."""
        head = await self.present(room_id)
        if head is None and await self._entering.finished(room_id):
            head = await self.present(room_id)
        return head

    async def present(self, room_id: RoomID) -> RoomHead | None:
        """The head of a room that this server takes part in now."""
        head = await self._heads.find(room_id)
        return None if head is None or head.summary.local_members == 0 else head

    async def is_known(self, room_id: RoomID) -> bool:
        """Whether this server is in a room or was."""
        return await self._heads.find(room_id) is not None

    async def receive(self, origin: ServerName, head: RoomHead, pdus: Sequence[Any]) -> Received:
        """Take PDUs of one room, in any order, as ``origin`` sent them. Raises nothing for a bad event."""
        checked = await self._checker.check(head.room_id, head.room_version, pdus)
        if checked.malformed or checked.failures:
            log.info(
                "events refused",
                origin=origin,
                room_id=head.room_id,
                malformed=checked.malformed,
                failures=checked.failures,
            )
        outcome: Outcome = dict(checked.failures)
        outcome.update({event.event_id: None for event in checked.events})
        received = Received(outcome)
        sent = set(outcome)
        for event, result in await self.take(origin, head, checked.events):
            reason = self._reason(origin, event, result)
            if isinstance(result, Placed):
                received.placed.append(event.event_id)
            if event.event_id not in sent:
                continue
            outcome[event.event_id] = reason
            if isinstance(result, Failure) and isinstance(result.value, MissingEvents):
                received.early.append(Early(event, result.value.event_ids))
        return received

    async def placed(self, event_id: EventID) -> StoredEvent | None:
        """An event that has been taken before."""
        return await self._placer.placed(event_id)

    async def take(
        self, origin: ServerName, head: RoomHead, events: Sequence[Event], *, outbound: bool = False
    ) -> list[tuple[Event, Placed | Failure]]:
        """Take events that passed the first checks, and those before them that ``origin`` gives; those here
        already are passed over.

        ``outbound``: this server passes ``events`` on to the others in the room.
        """
        history = await self._missing.before(origin, head, events)
        if not history.new:
            return []
        new = {event.event_id for event in history.new}
        ordered = oldest_first([*history.events, *history.new])
        jobs: list[Deferred[Placed]] = []
        for event in ordered:
            arrival = Arrival(
                event,
                history.states,
                outlier=history.outliers.get(event.event_id),
                fills_gap=event.event_id in history.fills,
                outbound=outbound and event.event_id in new,
                redactions=history.redactions.get(event.event_id, ()),
            )
            jobs.append(Deferred.fromCoroutine(self._writer.write(head.room_id, self._job(arrival))))
        results = await DeferredList(jobs, consumeErrors=True)
        return [(event, result) for event, (_, result) in zip(ordered, results, strict=True)]

    def _job(self, arrival: Arrival) -> Any:
        async def job(draft: RoomDraft) -> Placed:
            return await self._placer.place(draft, arrival)

        return job

    def _reason(self, origin: ServerName, event: Event, result: Placed | Failure) -> str | None:
        if isinstance(result, Placed):
            if result.reason is not None:
                log.info(
                    "event not accepted",
                    origin=origin,
                    event_id=event.event_id,
                    reason=result.reason,
                    status=result.stored.status.name,
                )
            return None  # it was dealt with, whatever came of it
        if isinstance(result.value, MissingEvents):
            return "what comes before it could not be had"
        if isinstance(result.value, DatabaseUnavailable):
            raise result.value
        if isinstance(result.value, TooCostly):
            log.warning("event set aside", origin=origin, event_id=event.event_id, reason=str(result.value))
            return str(result.value)
        log.error(
            "event set aside by a bug", origin=origin, event_id=event.event_id, failure=result.getTraceback()
        )
        return "internal error"
