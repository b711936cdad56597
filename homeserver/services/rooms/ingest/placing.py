"""Placing a received event in its room: the checks of authorisation, and what the event does to the room.

https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu, from the fourth check
on. The first three are made before (`receiving`).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from homeserver.clock import Clock
from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.auth_rules.selection import auth_types_of, check_auth_events_shape
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.sticky import STICKY, sticky_until
from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import Extremity
from homeserver.services.rooms.numbers import BlockSequence
from homeserver.services.rooms.policy_servers import PolicyServers
from homeserver.services.rooms.redactions import RedactionEffects
from homeserver.services.rooms.resolver import StateResolver
from homeserver.services.rooms.state_change import StateChange
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent, accepted
from storage.bulk import Entry
from storage.snapshots import GONE, Snapshot, differing
from storage.tables.sticky_events import DOUBTFUL_EVENTS, SETTLED_EVENTS

REDACTION: Final = "m.room.redaction"
_CREATE = ("m.room.create", "")
_NOT_RESTATED: Mapping[EventID, Status] = {}
_NO_STATES: Mapping[EventID, Snapshot] = {}


class MissingEvents(Exception):
    """Events that the placed one names, as previous or auth events, are not here. Fetch them and try again."""

    def __init__(self, event_ids: set[EventID]) -> None:
        super().__init__(f"{len(event_ids)} events are missing")
        self.event_ids = event_ids


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event to be placed, and what was found out for it.

    ``prior_states`` are the states after those previous events that are not here, ``state_before`` is that
    before the event itself, where another server told it; ``outlier`` is the event as it is here already,
    without a place. ``fills_gap`` says that later events of the room are here already: it then becomes no
    extremity. ``outbound`` is for an event that this server passes on to others in the room. ``redactions``
    are the redactions of it that came before it. ``past`` is its place among events of its depth if it was
    backfilled: then no client sees it as new, and the room as it is now has no say. If it is ``sticky`` still and the
    room as it is now allows it, it is told of as new nevertheless.
    """

    event: Event
    prior_states: Mapping[EventID, Snapshot] = field(default_factory=lambda: _NO_STATES)
    state_before: Snapshot | None = None
    outlier: StoredEvent | None = None
    fills_gap: bool = False
    outbound: bool = False
    redactions: Collection[EventID] = ()
    past: int | None = None
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """An event that went through the checks. ``reason`` says why it is not accepted; ``new`` is False if it
    was here before.
    """

    stored: StoredEvent
    new: bool
    reason: str | None = None


class EventPlacer:
    """Adds received events to drafts."""

    def __init__(
        self,
        events: EventStore,
        states: StateStore,
        nids: BlockSequence,
        redactions: RedactionEffects,
        resolver: StateResolver,
        clock: Clock,
        policy: PolicyServers | None = None,
    ) -> None:
        self._policy = policy
        self._events = events
        self._states = states
        self._nids = nids
        self._redactions = redactions
        self._resolver = resolver
        self._clock = clock

    async def place(self, draft: RoomDraft, arrival: Arrival) -> Placed:
        """Check an event and add it. Raises `MissingEvents`."""
        event = arrival.event
        known = draft.by_id.get(event.event_id) or self._events.cached(event.event_id) or arrival.outlier
        if known is not None and not known.is_outlier:
            return Placed(known, new=False)
        if arrival.sticky and await self._forbidden_now(draft, event) is None:
            arrival = replace(arrival, past=None, fills_gap=True)
        before, gaps = await self._state_before(draft, arrival)
        status, reason = await self._judge(draft, arrival, known, before)
        doubtful = status is Status.SOFT_FAILED
        if status is Status.ACCEPTED and arrival.past is None and self._policy is not None:
            event, reason = await self._policy.judged(draft, event)
            status = Status.ACCEPTED if reason is None else Status.SOFT_FAILED
        stored, after = await self.put(
            draft, event, before, known, status=status, outbound=arrival.outbound, past=arrival.past
        )
        if doubtful and STICKY in event.pdu:
            draft.entries += _doubts(stored)
        draft.gaps.extend((prev_id, event.depth) for prev_id in gaps)
        if arrival.fills_gap:
            draft.filled_gaps.append(event.event_id)
        if status is Status.ACCEPTED:
            if gaps and arrival.past is None and not arrival.sticky:
                draft.behind_gaps.append(stored.nid)
            await self._take_effect(draft, arrival, stored, after)
        return Placed(stored, new=True, reason=reason)

    async def reconsider(self, draft: RoomDraft, nid: int) -> bool:
        """Accept a soft-failed event after all if the current state allows it now; whether that is so. It then comes
        into the room as if it had arrived just now.
        """
        failed = draft.unsaved.get(nid) or (await self._events.by_nids((nid,))).get(nid)
        if failed is None or failed.status is not Status.SOFT_FAILED or failed.redacted_by is not None:
            return False
        event = failed.event
        if await self._forbidden_now(draft, event) is not None:
            return False
        if event.type == REDACTION and await self._redactions.forbids(draft, event) is not None:
            return False
        if self._policy is not None and (await self._policy.judged(draft, event))[1] is not None:
            return False
        after = await self._states.snapshot(failed.state_after or 0)
        stored = accepted(failed)
        draft.add(stored)
        draft.entries.append(SETTLED_EVENTS.row(nid))
        await self._take_effect(draft, Arrival(event), stored, after)
        return True

    async def _judge(
        self, draft: RoomDraft, arrival: Arrival, known: StoredEvent | None, before: Snapshot
    ) -> tuple[Status, str | None]:
        """What the checks come to, and why."""
        event = arrival.event
        if known is not None and known.status is Status.REJECTED:
            return Status.REJECTED, "it was rejected before"
        reason = await self.rejection(draft, event, before)
        if reason is not None:
            return Status.REJECTED, reason
        if arrival.past is None and before.set_hash != draft.state.set_hash:
            reason = await self._forbidden_now(draft, event)
            if reason is not None:
                return Status.SOFT_FAILED, f"by the current state: {reason}"
        if event.type == REDACTION:
            reason = await self._redactions.forbids(draft, event)
            if reason is not None:
                return Status.SOFT_FAILED, reason
        return Status.ACCEPTED, None

    async def _take_effect(
        self, draft: RoomDraft, arrival: Arrival, stored: StoredEvent, after: Snapshot
    ) -> None:
        """What an accepted event does to the room."""
        await self._redactions.target_arrived(draft, stored, arrival.redactions)
        if arrival.past is not None or arrival.fills_gap:
            await self._redactions.goes_with_sender(draft, stored)
        if arrival.fills_gap or arrival.past is not None:
            changes = await self._stay_behind(draft, stored)
        else:
            changes = await self._advance(draft, stored, after)
        if stored.event.type == REDACTION:
            changes = [*changes, *await self._redactions.redaction_arrived(draft, stored)]
        elif stored.event.type == "m.room.member" and arrival.past is None:
            changes = [*changes, *await self._redactions.member_ousted(draft, stored, changes)]
        # Of the past nothing is told as new; state that it struck was redacted when it was given to us.
        draft.changes.extend(changes if arrival.past is None else ())

    async def _stay_behind(self, draft: RoomDraft, stored: StoredEvent) -> list[StateChange]:
        """Let an accepted event after which others are here already take its previous ones from the extremities."""
        previous = set(stored.event.prev_event_ids)
        kept = tuple(one for one in draft.extremities if one.event_id not in previous)
        if not kept or len(kept) == len(draft.extremities):
            return []
        states = await self._states_after(draft, kept)
        current = await self._resolver.resolve(stored.event.version, states, draft.unsaved)
        if stored.ordering is not None and current.set_hash != draft.state.set_hash:
            return []
        was, draft.state, draft.extremities = draft.state, current, kept
        draft.keep_snapshot(current)
        return await self.changes_between(draft, was, current, stored)

    async def _state_before(self, draft: RoomDraft, arrival: Arrival) -> tuple[Snapshot, list[EventID]]:
        """The state before an event, and those of its previous events that are not here."""
        prev_ids = arrival.event.prev_event_ids
        room_id = arrival.event.room_id
        found = {
            prev_id: prev
            for prev_id, prev in (await self._by_ids(draft, prev_ids)).items()
            if prev.event.room_id == room_id
        }
        if arrival.state_before is not None:
            unknown = [one for one in prev_ids if one not in found or found[one].is_outlier]
            return arrival.state_before, unknown
        states = []
        gaps = []
        missing = set()
        for prev_id in prev_ids:
            prev = found.get(prev_id)
            if prev is not None and prev.state_after is not None:
                states.append(await self._states.snapshot(prev.state_after))
            elif prev_id in arrival.prior_states:
                states.append(arrival.prior_states[prev_id])
                gaps.append(prev_id)
            else:
                missing.add(prev_id)
        if missing:
            raise MissingEvents(missing)
        version = arrival.event.version
        return await self._resolver.resolve(version, states or [Snapshot()], draft.unsaved), gaps

    async def rejection(
        self,
        draft: RoomDraft,
        event: Event,
        before: Snapshot,
        restated: Mapping[EventID, Status] = _NOT_RESTATED,
    ) -> str | None:
        """Why the event must be rejected: by its own auth events, or by the state before it. ``restated``: what the
        checks of others have come to since.
        """
        auth_ids = event.auth_event_ids
        found = await self._by_ids(draft, auth_ids)
        missing = {auth_id for auth_id in auth_ids if auth_id not in found}
        if missing:
            raise MissingEvents(missing)
        rejected = {
            auth_id
            for auth_id, stored in found.items()
            if restated.get(auth_id, stored.status) is Status.REJECTED
        }
        try:
            check_auth_events_shape(event, [stored.event for stored in found.values()], rejected)
        except NotAuthorised as error:
            return f"its auth events are not proper: {error.message}"
        state = await self._auth_state(draft, event, before)
        named: dict[StateKey | None, Event] = {stored.event.key: stored.event for stored in found.values()}
        if event.version.room_id_is_create_hash and _CREATE in state:
            named[_CREATE] = state[_CREATE]
        if named != state:
            reason = self._forbidden_by(event, named)
            if reason is not None:
                return f"by its auth events: {reason}"
        return self._forbidden_by(event, state)

    async def _by_ids(self, draft: RoomDraft, event_ids: list[EventID]) -> dict[EventID, StoredEvent]:
        found = {event_id: draft.by_id[event_id] for event_id in event_ids if event_id in draft.by_id}
        if len(found) < len(event_ids):
            found |= await self._events.by_ids(event_id for event_id in event_ids if event_id not in found)
        return found

    async def _auth_state(self, draft: RoomDraft, event: Event, state: Snapshot) -> dict[StateKey, Event]:
        """What of a state the rules look at for this event. Where most members are not known, those that are not are
        as the event names them; what came of it is looked at again when they are known (`Completion`).
        """
        keys: set[StateKey | None] = {*auth_types_of(event), _CREATE}
        found = await self._states.lookup(state, {key for key in keys if key is not None}, draft.unsaved)
        if draft.partial:
            for stored in (await self._by_ids(draft, event.auth_event_ids)).values():
                key = stored.event.key
                if key in keys and key is not None and stored.event.type == "m.room.member":
                    if stored.status is not Status.REJECTED:
                        found.setdefault(key, stored)
        return {key: stored.event for key, stored in found.items()}

    async def _forbidden_now(self, draft: RoomDraft, event: Event) -> str | None:
        """Why the current state forbids an event, if it does."""
        return self._forbidden_by(event, await self._auth_state(draft, event, draft.state))

    def _forbidden_by(
        self, event: Event, state: Mapping[StateKey, Event] | Mapping[StateKey | None, Event]
    ) -> str | None:
        try:
            check_auth(event, lambda event_type, state_key: state.get((event_type, state_key)))
        except NotAuthorised as error:
            return error.message
        return None

    def known(self, event_id: EventID) -> StoredEvent | None:
        """An event that this node has in memory."""
        return self._events.cached(event_id)

    async def placed(self, event_id: EventID) -> StoredEvent | None:
        """An accepted event that has its place."""
        stored = await self._events.find(event_id)
        if stored is None or stored.is_outlier or stored.status is not Status.ACCEPTED:
            return None
        return stored

    async def put(
        self,
        draft: RoomDraft,
        event: Event,
        before: Snapshot,
        known: StoredEvent | None,
        *,
        status: Status = Status.ACCEPTED,
        outbound: bool = False,
        past: int | None = None,
    ) -> tuple[StoredEvent, Snapshot]:
        """Add an event of which all has been decided, ``known`` if it is here without a place; gives the
        state after it.
        """
        nid = await self._nids.take() if known is None else known.nid
        auth = await self._by_ids(draft, event.auth_event_ids) if event.is_state else {}
        after = before
        if event.key is not None and status is not Status.REJECTED:
            after = await self._states.derive(before, {event.key: nid})
        stored = StoredEvent(
            event if known is None else known.event,
            nid,
            received_ts=self._clock.now_ms(),
            ordering=past,
            outbound=outbound and status is Status.ACCEPTED,
            status=status,
            state_before=before.id,
            state_after=after.id,
            redacted_by=None if known is None else known.redacted_by,
            auth_nids=[one.nid for one in auth.values()],
        )
        draft.add(stored, before, after)
        return stored, after

    async def _advance(self, draft: RoomDraft, stored: StoredEvent, after: Snapshot) -> list[StateChange]:
        """Make an accepted event an extremity; returns how the current state changes by it."""
        was = draft.state
        draft.advance(stored, was, ())
        others = [one for one in draft.extremities if one.nid != stored.nid]
        states = [after, *await self._states_after(draft, others)]
        current = await self._resolver.resolve(stored.event.version, states, draft.unsaved)
        draft.keep_snapshot(current)
        draft.state = current
        return await self.changes_between(draft, was, current, stored)

    async def _states_after(self, draft: RoomDraft, extremities: Iterable[Extremity]) -> list[Snapshot]:
        states = []
        for nid in (one.nid for one in extremities):
            stored = draft.unsaved.get(nid) or (await self._events.by_nids((nid,)))[nid]
            states.append(await self._states.snapshot(stored.state_after or 0))
        return states

    async def changes_between(
        self, draft: RoomDraft, was: Snapshot, now: Snapshot, cause: StoredEvent
    ) -> list[StateChange]:
        """How current state changes from ``was`` to ``now``, when ``cause`` arrives."""
        pairs = differing(was, now)
        if not pairs:
            return []
        names = await self._states.key_names(pairs)
        nids = {nid for pair in pairs.values() for nid in pair if nid != GONE}
        events = {nid: draft.unsaved[nid] for nid in nids if nid in draft.unsaved}
        events |= await self._events.by_nids(nids - events.keys())
        return [
            StateChange(names[key], events.get(previous), events.get(current), cause)
            for key, (previous, current) in pairs.items()
        ]


def _doubts(stored: StoredEvent) -> list[Entry]:
    """The record of a sticky event that was not accepted, for the time that it is sticky."""
    until = sticky_until(stored.event, stored.received_ts)
    if until <= stored.received_ts:
        return []
    return [DOUBTFUL_EVENTS.row(stored.nid, stored.event.room_id, until)]
