"""Receiving events of a room from another server: the one pipeline, whatever brought them.

Parse, signatures and hash (`checking`), what is missing before them (`missing`), then one job each in the room's queue (`placing`). Each event
is judged by itself: one that cannot be taken is set aside with its reason, and the others go on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from twisted.internet.defer import Deferred, DeferredList

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import RoomHead, RoomHeads
from homeserver.services.rooms.ingest.checking import PduChecker
from homeserver.services.rooms.ingest.missing import History, MissingHistory
from homeserver.services.rooms.ingest.placing import EventPlacer, MissingEvents, Placed
from homeserver.services.rooms.ingest.order import oldest_first
from homeserver.services.rooms.writer import RoomWriter
from storage.database import Database
from storage.tables.events import BackwardExtremities

log = structlog.get_logger(__name__)

Outcome = dict[EventID, str | None]
"""By event ID: None for an accepted event, else why it was not."""


class EventReceiver:
    """Takes events into rooms that this server takes part in."""

    def __init__(
        self,
        database: Database,
        events: EventStore,
        heads: RoomHeads,
        writer: RoomWriter,
        placer: EventPlacer,
        checker: PduChecker,
        missing: MissingHistory,
    ) -> None:
        self._database = database
        self._events = events
        self._heads = heads
        self._writer = writer
        self._placer = placer
        self._checker = checker
        self._missing = missing

    async def receive(self, origin: ServerName, room_id: RoomID, pdus: Sequence[Any]) -> Outcome:
        """Take PDUs of one room, in any order, as ``origin`` sent them. Raises nothing for a bad event."""
        head = await self._heads.find(room_id)
        if head is None or head.summary.local_members == 0:
            return {}
        checked = await self._checker.check(room_id, head.room_version, pdus)
        outcome: Outcome = dict(checked.failures)
        if checked.malformed or checked.failures:
            log.info("events refused", origin=origin, room_id=room_id, malformed=checked.malformed, failures=checked.failures)
        outcome.update({event.event_id: None for event in checked.events})
        outcome.update(await self.take(origin, head, checked.events))
        return outcome

    async def take(self, origin: ServerName, head: RoomHead, events: Sequence[Event]) -> Outcome:
        """Take events that passed the first checks; those here already are passed over."""
        known = await self._events.by_ids(event.event_id for event in events)
        new = [event for event in events if event.event_id not in known or known[event.event_id].is_outlier]
        if not new:
            return {}
        history = await self._missing.before(origin, head, new)
        ordered = oldest_first([*history.events, *new])
        outliers = {event_id: stored for event_id, stored in known.items() if stored.is_outlier}
        outliers |= history.outliers
        fills = frozenset(
            await self._database.read(
                lambda tx: BackwardExtremities(tx).among(head.room_id, [event.event_id for event in ordered])
            )
        )
        jobs: list[Deferred[Placed]] = [
            Deferred.fromCoroutine(
                self._writer.write(head.room_id, self._job(event, history, outliers, event.event_id in fills))
            )
            for event in ordered
        ]
        results = await DeferredList(jobs, consumeErrors=True)
        return {
            event.event_id: self._reason(origin, event, succeeded, result)
            for event, (succeeded, result) in zip(ordered, results, strict=True)
        }

    def _job(self, event: Event, history: History, outliers: Mapping[EventID, Any], fills_gap: bool) -> Any:
        async def job(draft: RoomDraft) -> Placed:
            return await self._placer.place(
                draft, event, history.states, outlier=outliers.get(event.event_id), fills_gap=fills_gap
            )

        return job

    def _reason(self, origin: ServerName, event: Event, succeeded: bool, result: Any) -> str | None:
        if succeeded:
            if result.reason is not None:
                log.info("event not accepted", origin=origin, event_id=event.event_id, reason=result.reason, status=result.stored.status.name)
            return None if result.reason is None else str(result.reason)
        if result.check(MissingEvents):
            return "what comes before it could not be had"
        log.error("event set aside by a bug", origin=origin, event_id=event.event_id, failure=result.getTraceback())
        return "internal error"
