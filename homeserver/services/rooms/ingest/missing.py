"""What comes before received events and is not here: events, and where those cannot be had, the state at the
gap.

https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events. All fetching is
bounded: a hostile server can make us ask only so often, and only itself.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from federation.client.federation_client import FederationClient
from federation.wire.backfill import BACKFILL, MISSING_EVENTS, BackfillFrom, MissingEventsQuery
from federation.wire.events import EVENT, EVENT_AUTH
from federation.wire.state import STATE, STATE_IDS, AtEvent, RoomStateIDs
from homeserver.protocol.errors import BadGateway
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, is_event_id
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import RoomHead
from homeserver.services.rooms.ingest.checking import PduChecker
from homeserver.services.rooms.ingest.outliers import Outliers
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent
from storage.database import Database
from storage.snapshots import GONE, Snapshot
from storage.tables.events import BackwardExtremities, Redactions
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

MAX_ROUNDS = 5
"""Times that we ask for missing events before the gap is taken as one."""
MAX_EVENTS_A_ROUND = 100
FULL_ANSWER = 10
"""Missing events in an answer after which there may be more: no server gives less if it has them."""
MAX_HISTORY = 500
"""Events of one answer to a backfill that are looked at."""
MAX_GAPS = 20
"""Previous events whose state we ask for, for one batch of received events."""
MAX_SINGLE_EVENTS = 50
"""State events fetched one by one; if more are missing, the whole state is asked for."""


@dataclass(slots=True)
class History:
    """What is needed to place received events.

    ``new`` are those of them that are not in the room yet, ``events`` come before them; ``states`` are those
    after previous events that could not be had. Of all of them: ``outliers`` are here without a place,
    ``fills`` fill gaps, ``redactions`` came before their targets.
    """

    new: list[Event] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    states: dict[EventID, Snapshot] = field(default_factory=dict)
    outliers: dict[EventID, StoredEvent] = field(default_factory=dict)
    fills: frozenset[EventID] = frozenset()
    redactions: dict[EventID, list[EventID]] = field(default_factory=dict)


class MissingHistory:
    """Finds what received events build on."""

    def __init__(
        self,
        database: Database,
        client: FederationClient,
        checker: PduChecker,
        events: EventStore,
        states: StateStore,
        outliers: Outliers,
    ) -> None:
        self._database = database
        self._client = client
        self._checker = checker
        self._events = events
        self._states = states
        self._outliers = outliers

    async def before(self, origin: ServerName, head: RoomHead, events: Sequence[Event]) -> History:
        """What is needed to place ``events``; what cannot be had is left out."""
        history = History()
        history.new = await self._not_placed(events, history)
        if not history.new:
            return history
        await self._fill(origin, head, history)
        for prev_id in list(await self._gaps_behind(history))[:MAX_GAPS]:
            state = await self._state_after(origin, head, prev_id)
            if state is not None:
                history.states[prev_id] = state
        every = [*history.events, *history.new]
        await self.fetch_auth_events(origin, head, every)
        await self._look_up(head.room_id, [event.event_id for event in every], history)
        return history

    async def state_before(self, origin: ServerName, head: RoomHead, event_id: EventID) -> Snapshot | None:
        """The room's state before an event, as ``origin`` says it was; None if it does not say."""
        try:
            ids = await self.state_ids(origin, head.room_id, event_id)
        except BadGateway as error:
            log.info("state at a gap could not be had", origin=origin, event_id=event_id, error=str(error))
            return None
        state = await self.fetch_state(origin, head, event_id, ids)
        return None if state is None else await self._state_of(head, state)

    async def state_ids(self, origin: ServerName, room_id: RoomID, event_id: EventID) -> RoomStateIDs:
        """What the state before an event is made of, as ``origin`` says. Raises BadGateway."""
        path = {"room_id": room_id}
        return await self._client.request(STATE_IDS, origin, path=path, query=AtEvent(event_id))

    async def fetch_state(
        self, origin: ServerName, head: RoomHead, event_id: EventID, ids: RoomStateIDs
    ) -> list[StoredEvent] | None:
        """Those events of the state before an event that stand up to the checks, fetched if they are not here; None if
        ``origin`` does not give them.
        """
        state_ids = [EventID(one) for one in ids.pdu_ids if is_event_id(one)]
        wanted = {*state_ids, *(EventID(one) for one in ids.auth_chain_ids if is_event_id(one))}
        missing = wanted - (await self._events.by_ids(wanted)).keys()
        if len(missing) > MAX_SINGLE_EVENTS:
            path = {"room_id": head.room_id}
            whole = await self._listed(origin, head, STATE, path, AtEvent(event_id))
            if whole is None:
                return None
            await self._outliers.save(whole)
        elif missing:
            await self._outliers.save(await self._one_by_one(origin, head, missing))
        found = (await self._events.by_ids(state_ids)).values()
        return [
            stored
            for stored in found
            if stored.status is not Status.REJECTED
            and stored.event.key is not None
            and stored.event.room_id == head.room_id
        ]

    async def state_event(self, origin: ServerName, head: RoomHead, event_id: EventID) -> StoredEvent | None:
        """An event that ``origin`` is asked for, if it is of the state and its auth events allow it."""
        event = await self._single(origin, head, event_id)
        if event is None or event.key is None:
            return None
        await self.fetch_auth_events(origin, head, [event])
        stored = (await self._outliers.save([event])).get(event_id)
        return None if stored is None or stored.status is Status.REJECTED else stored

    async def _state_of(self, head: RoomHead, state: Sequence[StoredEvent]) -> Snapshot:
        """The snapshot of a state that another server told."""
        updates = {stored.event.key: stored.nid for stored in state if stored.event.key is not None}
        ids = await self._states.key_ids(updates)
        by_id = {ids[key]: nid for key, nid in updates.items()}
        if head.partial:
            # Its other members are to come all at once: here they would seem to have come by one event.
            known, members = head.state, {ids[key] for key in updates if key[0] == "m.room.member"}
            by_id = {at: nid for at, nid in by_id.items() if at not in members or known.find(at)}
        # Over the state that we know it is a small layer; by itself it would be a whole one.
        gone = {key_id: GONE for key_id in head.state.entries() if key_id not in by_id}
        return await self._states.derive_by_id(head.state, gone | by_id)

    async def fetch_auth_events(self, origin: ServerName, head: RoomHead, events: Sequence[Event]) -> None:
        """Store the auth events of ``events`` that are neither here nor among them."""
        ours = {event.event_id for event in events}
        for event in events:
            missing = set(event.auth_event_ids) - ours
            missing -= (await self._events.by_ids(missing)).keys()
            if not missing:
                continue
            path = {"room_id": head.room_id, "event_id": event.event_id}
            chain = await self._listed(origin, head, EVENT_AUTH, path)
            if not chain:
                chain = await self._one_by_one(origin, head, list(missing)[:MAX_SINGLE_EVENTS])
            await self._outliers.save([one for one in chain if one.event_id not in ours])

    async def history(
        self, origin: ServerName, head: RoomHead, event_ids: Collection[EventID], limit: int
    ) -> list[Event]:
        """Events of the past, from those named on back, as ``origin`` gives them."""
        query = BackfillFrom(tuple(event_ids), limit)
        pdus = await self._ask(origin, BACKFILL, "pdus", {"room_id": head.room_id}, query=query)
        checked = await self._checker.check(head.room_id, head.room_version, pdus[:MAX_HISTORY])
        return checked.events

    async def gaps(self, room_id: RoomID) -> list[tuple[EventID, int]]:
        """The events before known ones that are not here, and the depths of the known ones, the deepest first."""
        return await self._database.read(lambda tx: BackwardExtremities(tx).of_room(room_id))

    async def not_placed(self, events: Sequence[Event]) -> History:
        """Those of ``events`` that are not in the room yet, with what is known here of them."""
        history = History()
        history.new = await self._not_placed(events, history)
        if history.new:
            ids = [event.event_id for event in history.new]
            await self._look_up(history.new[0].room_id, ids, history)
        return history

    async def unplaced_before(self, events: Sequence[Event]) -> set[EventID]:
        """The previous events of ``events`` that are neither among them nor placed here."""
        return await self._unplaced(events)

    async def _not_placed(self, events: Iterable[Event], history: History) -> list[Event]:
        """Those of ``events`` that have no place; those that are here without one go into the outliers."""
        known = await self._events.by_ids(event.event_id for event in events)
        history.outliers.update({one: stored for one, stored in known.items() if stored.is_outlier})
        return [
            event for event in events if event.event_id not in known or event.event_id in history.outliers
        ]

    async def _look_up(self, room_id: RoomID, event_ids: list[EventID], history: History) -> None:
        def read(tx: Transaction) -> tuple[list[EventID], list[tuple[EventID, EventID]]]:
            return (
                BackwardExtremities(tx).among(room_id, event_ids),
                Redactions(tx).of(room_id, event_ids),
            )

        fills, redactions = await self._database.read(read)
        history.fills = frozenset(fills)
        for target_id, redaction_id in redactions:
            history.redactions.setdefault(target_id, []).append(redaction_id)

    async def _fill(self, origin: ServerName, head: RoomHead, history: History) -> None:
        """Ask for the events between the room's extremities and the received ones, further back each round."""
        earliest: list[str] = [extremity.event_id for extremity in head.extremities]
        for _ in range(MAX_ROUNDS):
            every = [*history.events, *history.new]
            missing = await self._unplaced(every)
            latest = [event for event in every if not missing.isdisjoint(event.prev_event_ids)]
            if not latest:
                return
            query = MissingEventsQuery(
                earliest, [str(event.event_id) for event in latest], MAX_EVENTS_A_ROUND
            )
            pdus = await self._ask(origin, MISSING_EVENTS, "events", {"room_id": head.room_id}, body=query)
            checked = await self._checker.check(head.room_id, head.room_version, pdus[:MAX_EVENTS_A_ROUND])
            have = {event.event_id for event in every}
            found = await self._not_placed(
                [event for event in checked.events if event.event_id not in have], history
            )
            if not found:
                return
            history.events.extend(found)
            if len(pdus) < FULL_ANSWER:
                return

    async def _gaps_behind(self, history: History) -> set[EventID]:
        """The previous events that are still missing, before events that were given when we asked for missing
        ones.

        A server that sends an event and gives none of those before it has its event refused: it could make up
        any state.
        """
        missing = await self._unplaced([*history.events, *history.new])
        return {one for event in history.events for one in event.prev_event_ids if one in missing}

    async def _unplaced(self, events: Sequence[Event]) -> set[EventID]:
        """The previous events of ``events`` that are neither among them nor placed here."""
        named = {prev_id for event in events for prev_id in event.prev_event_ids}
        named -= {event.event_id for event in events}
        rooms = {event.room_id for event in events}
        found = await self._events.by_ids(named)
        return named - {
            event_id
            for event_id, stored in found.items()
            if not stored.is_outlier and stored.event.room_id in rooms
        }

    async def _state_after(self, origin: ServerName, head: RoomHead, event_id: EventID) -> Snapshot | None:
        """The room's state after an event that we do not have, as ``origin`` says it was."""
        state = await self.state_before(origin, head, event_id)
        if state is None:
            return None
        stored = await self.state_event(origin, head, event_id)
        if stored is None or stored.event.key is None:
            return state
        return await self._states.derive(state, {stored.event.key: stored.nid})

    async def _single(self, origin: ServerName, head: RoomHead, event_id: EventID) -> Event | None:
        pdus = await self._ask(origin, EVENT, "pdus", {"event_id": event_id})
        checked = await self._checker.check(head.room_id, head.room_version, pdus)
        return next((event for event in checked.events if event.event_id == event_id), None)

    async def _one_by_one(
        self, origin: ServerName, head: RoomHead, event_ids: Iterable[EventID]
    ) -> list[Event]:
        pdus: list[Any] = []
        for event_id in event_ids:
            pdus += await self._ask(origin, EVENT, "pdus", {"event_id": event_id})
        checked = await self._checker.check(head.room_id, head.room_version, pdus, limit_references=False)
        return checked.events

    async def _listed(
        self, origin: ServerName, head: RoomHead, route: Any, path: Mapping[str, str], query: Any = None
    ) -> list[Event] | None:
        """The events of the long lists of an answer that stood up to the checks; None where there is no answer."""
        intake = self._checker.intake(head.room_id, head.room_version)
        try:
            await self._client.request_lists(route, origin, intake.take, path=path, query=query)
        except BadGateway as error:
            log.info("events could not be had", origin=origin, path=path, error=str(error))
            return None
        return (await self._checker.finish(intake)).events

    async def _ask(
        self,
        origin: ServerName,
        route: Any,
        field_name: str,
        path: dict[str, str],
        *,
        query: Any = None,
        body: Any = None,
    ) -> list[Any]:
        """The events of an answer; none where the server does not give one."""
        try:
            answer = await self._client.request(route, origin, path=path, query=query, body=body)
        except BadGateway as error:
            log.info("events could not be had", origin=origin, path=path, error=str(error))
            return []
        return list(getattr(answer, field_name))
