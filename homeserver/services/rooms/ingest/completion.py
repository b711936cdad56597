"""Making a partial room whole, once another server has told the state before our join.

What was told by the join stays as it is, and all other members are added to it. Each event that came meanwhile is
looked at again, in order: on the state that is known now one that was accepted may not be allowed. Then it is rejected,
and what it did to the room is undone. One that was rejected may be allowed: then it does to the room what it should
have done. Clients do not see it before it has been judged by the current state as well (`SecondLooks`), like those that
failed that check so far. https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import Extremity, extremity_of
from homeserver.services.rooms.ingest.placing import EventPlacer, MissingEvents
from homeserver.services.rooms.resolver import StateResolver
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent
from storage.snapshots import Snapshot, differing


@dataclass(slots=True)
class Completed:
    """The room as it is now: its state, its extremities, and the events since the join as they are on it."""

    state: Snapshot = field(default_factory=Snapshot)
    extremities: tuple[Extremity, ...] = ()
    events: list[StoredEvent] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)


class Completion:
    """Works out what a room comes to."""

    def __init__(self, states: StateStore, placer: EventPlacer, resolver: StateResolver) -> None:
        self._states = states
        self._placer = placer
        self._resolver = resolver

    async def of(
        self, draft: RoomDraft, events: Sequence[StoredEvent], added: Mapping[StateKey, int]
    ) -> Completed:
        """The room with the members that were added to the state before the first of its events, the join."""
        base = await self._states.snapshot(events[0].state_before or 0)
        ids = await self._states.key_ids(added)
        filled = {ids[key]: nid for key, nid in added.items()}
        whole = await self._states.derive_by_id(base, filled)
        replay = _Replay(self._states, base, whole)
        for stored in events:
            await self._again(draft, replay, stored)
        completed = replay.completed
        completed.extremities = replay.extremities(draft.extremities)
        if replay.changed:
            after = [replay.after[one.event_id] for one in completed.extremities]
            version = draft.head.room_version
            completed.state = await self._resolver.resolve(version, after, draft.unsaved)
        else:
            completed.state = await replay.whole(draft.state)
        completed.snapshots.append(completed.state)
        return completed

    async def _again(self, draft: RoomDraft, replay: "_Replay", stored: StoredEvent) -> None:
        """Place one of the events anew."""
        states, event = self._states, stored.event
        was = await states.snapshot(stored.state_before or 0), await states.snapshot(stored.state_after or 0)
        before = await replay.whole(was[0])
        plain = not any(prev_id in replay.changed for prev_id in event.prev_event_ids)
        if not plain:
            known = [replay.after[one] for one in event.prev_event_ids if one in replay.after]
            before = await self._resolver.resolve(event.version, known or [before], draft.unsaved)
        status = await self._judged(draft, replay, stored, before)
        rejected = status is Status.REJECTED, stored.status is Status.REJECTED
        if rejected[0]:
            after = before
        elif plain and not rejected[1]:
            after = await replay.whole(was[1])
        elif event.key is not None:
            after = await states.derive(before, {event.key: stored.nid})
        else:
            after = before
        replay.note(stored, before, after, status)
        if not plain or rejected[0] != rejected[1]:
            replay.changed.add(event.event_id)

    async def _judged(
        self, draft: RoomDraft, replay: "_Replay", stored: StoredEvent, before: Snapshot
    ) -> Status:
        """What an event is now. The first is the join, which was accepted by a server that knows all."""
        if not replay.after:
            return Status.ACCEPTED
        try:
            reason = await self._placer.rejection(draft, stored.event, before, replay.statuses)
        except MissingEvents:
            return stored.status
        if reason is not None:
            return Status.REJECTED
        return Status.ACCEPTED if stored.status is Status.ACCEPTED else Status.SOFT_FAILED


class _Replay:
    """The events so far. ``changed`` are those after which the state is not just what it was and the added members."""

    def __init__(self, states: StateStore, base: Snapshot, whole: Snapshot) -> None:
        self._states = states
        self._base = base
        self._whole = whole
        self._known: dict[int, Snapshot] = {base.id: whole}
        self._events: list[StoredEvent] = []
        self.completed = Completed()
        self.after: dict[EventID, Snapshot] = {}
        self.changed: set[EventID] = set()
        self.statuses: dict[EventID, Status] = {}

    async def whole(self, state: Snapshot) -> Snapshot:
        """A state of the partial room with the members that it lacks."""
        found = self._known.get(state.id)
        if found is None:
            updates = {key: now for key, (_, now) in differing(self._base, state).items()}
            found = await self._states.derive_by_id(self._whole, updates)
            self._known[state.id] = found
        return found

    def note(self, stored: StoredEvent, before: Snapshot, after: Snapshot, status: Status) -> None:
        """Take in what an event came to."""
        event_id = stored.event.event_id
        self._events.append(stored)
        self.after[event_id] = after
        self.statuses[event_id] = status
        self.completed.events.append(_restated(stored, before, after, status))
        self.completed.snapshots += [before, after]

    def extremities(self, extremities: Sequence[Extremity]) -> tuple[Extremity, ...]:
        """Those of the room, where such as are not accepted any more give way to what came before them."""
        refused = {event_id for event_id, status in self.statuses.items() if status is not Status.ACCEPTED}
        if not any(one.event_id in refused for one in extremities):
            return tuple(extremities)
        by_id = {stored.event.event_id: stored for stored in self._events}
        followed = {
            prev_id
            for event_id, stored in by_id.items()
            if event_id not in refused
            for prev_id in stored.event.prev_event_ids
        }
        found: dict[EventID, Extremity] = {}
        edge = [one.event_id for one in extremities]
        seen: set[EventID] = set()
        while edge:
            event_id = edge.pop()
            stored = by_id.get(event_id)
            if event_id in seen or stored is None:
                continue
            seen.add(event_id)
            if event_id in refused:
                edge.extend(stored.event.prev_event_ids)
            elif event_id not in followed:
                found[event_id] = extremity_of(stored)
        return tuple(found.values())


def _restated(stored: StoredEvent, before: Snapshot, after: Snapshot, status: Status) -> StoredEvent:
    return StoredEvent(
        stored.event,
        stored.nid,
        received_ts=stored.received_ts,
        pos=stored.pos,
        ordering=stored.ordering,
        outbound=stored.outbound,
        status=status,
        state_before=before.id,
        state_after=after.id,
        transaction=stored.transaction,
        redacted_by=stored.redacted_by,
        thread=stored.thread,
        notable=stored.notable if status is Status.ACCEPTED else 0,
    )
