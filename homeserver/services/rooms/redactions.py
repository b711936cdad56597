"""What a redaction does to the event that it names, whichever of the two comes first."""

from collections.abc import Collection, Sequence
from typing import Final

from homeserver.protocol.events.content import PowerLevels
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.redaction import redacted
from homeserver.protocol.identifiers import EventID, StateKey, UserID, is_event_id, server_of
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.notability import WAS_REDACTED
from homeserver.services.rooms.powers import POWER_KEYS, power_levels_in
from homeserver.services.rooms.state_change import StateChange
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent
from homeserver.services.rooms.told_powers import ToldPowers
from storage.database import Database
from storage.snapshots import Snapshot
from storage.tables.events import REDACTIONS, Events
from storage.tables.redactions import OWED_REDACTIONS, PAID_REDACTIONS, OwedRedaction

REDACT_EVENTS: Final = "org.matrix.msc4293.redact_events"
STRUCK_AT_ONCE: Final = 500
"""Of the events of one user that go with them, so many go with the commit that removes them, and of the older ones with
each commit after it.
"""
_FURTHEST: Final = 2**63 - 1
_MEMBER: Final = "m.room.member"
_CREATE: Final = "m.room.create"


class RedactionEffects:
    """Applies redactions within a draft. A redaction is remembered, so that a target that comes later is
    redacted on arrival.

    https://spec.matrix.org/v1.19/rooms/v11/#handling-redactions
    """

    def __init__(
        self, database: Database, events: EventStore, states: StateStore, told_powers: ToldPowers
    ) -> None:
        self._database = database
        self._events = events
        self._states = states
        self._told_powers = told_powers

    async def forbids(self, draft: RoomDraft, redaction: Event) -> str | None:
        """Why a redaction may not take effect, or not yet, which clients must not see then; None also if its target is
        not here yet.
        """
        if not await self.is_final(draft, redaction.sender):
            return "it is not known yet what the sender may do"
        target_id = _target_id(redaction)
        if redaction.version.redactions_authorised_by_level or target_id is None:
            return None
        target = await self._target(draft, target_id)
        if target is None or await self._may_strike(draft, redaction, target):
            return None
        return "the sender may not redact that event"

    async def is_final(self, draft: RoomDraft, sender: UserID) -> bool:
        """Whether what somebody redacts now stays redacted, in a room whose members may not be known yet."""
        return await self._told_powers.hold(draft, sender)

    async def redaction_arrived(self, draft: RoomDraft, redaction: StoredEvent) -> list[StateChange]:
        """Note an accepted redaction of the draft and strike its target, if it is known.

        Returns the changes of current state that come of it: an entry may have lost its content."""
        target_id = _target_id(redaction.event)
        if target_id is None:
            return []
        draft.entries.append(REDACTIONS.row(target_id, redaction.event.event_id, redaction.event.room_id))
        target = await self._target(draft, target_id)
        if target is None or not await self._may_strike(draft, redaction.event, target):
            return []
        return await self._strike(draft, redaction, target)

    async def member_ousted(
        self, draft: RoomDraft, cause: StoredEvent, changes: Sequence[StateChange]
    ) -> list[StateChange]:
        """Strike what a user said since they came, if the event that makes them go says so and its sender may. Where
        that is not known yet, it is put off until it is (`owe`).

        Returns as `redaction_arrived`. https://github.com/matrix-org/matrix-spec-proposals/pull/4293
        """
        event = cause.event
        if not takes_words_along(event):
            return []
        ousted = [change for change in changes if change.key == event.key and change.current is cause]
        if not ousted or not await self._may_strike_all(draft, event):
            return []
        if not await self.is_final(draft, event.sender):
            return []
        user_id, since, room_id = UserID(event.state_key or ""), ousted[0].previous, draft.head.room_id
        after = 0 if since is None or since.pos is None else since.pos
        latest, state = await self._database.read(
            lambda tx: (
                Events(tx).sent_by(room_id, user_id, after, _FURTHEST, STRUCK_AT_ONCE),
                Events(tx).present_state_by(room_id, user_id, after),
            )
        )
        if len(latest) == STRUCK_AT_ONCE:
            upto = (latest[-1].pos or 0) - 1
            draft.entries.append(OWED_REDACTIONS.row(cause.nid, room_id, user_id, after, upto))
        rows = {row.nid: row for row in (*latest, *state)}
        unsaved = [
            stored for stored in draft.events if stored.event.sender == user_id and stored is not since
        ]
        struck: list[StateChange] = []
        for target in [*self._events.load(rows.values()), *unsaved]:
            if target.event.type != _CREATE:
                struck += await self._strike(draft, cause, target)
        return struck

    async def owe(self, draft: RoomDraft, cause: StoredEvent) -> None:
        """Have what somebody said struck later: they were made to go with it while a room's members were not known."""
        event = cause.event
        if not takes_words_along(event) or cause.pos is None or not await self._may_strike_all(draft, event):
            return
        user_id = UserID(event.state_key or "")
        before = await self._states.snapshot(cause.state_before or 0)
        came = await self._present(draft, before, (_MEMBER, user_id))
        after = 0 if came is None or came.pos is None else came.pos
        draft.entries.append(OWED_REDACTIONS.row(cause.nid, draft.head.room_id, user_id, after, cause.pos))

    async def strike_some(self, draft: RoomDraft, owed: OwedRedaction) -> None:
        """Strike some more of what somebody said who was removed with it. Of that nothing is present state: such went
        with the commit that removed them.
        """
        rows = await self._database.read(
            lambda tx: Events(tx).sent_by(
                owed.room_id, owed.user_id, owed.after_pos, owed.upto_pos, STRUCK_AT_ONCE
            )
        )
        cause = (await self._events.by_nids((owed.cause,))).get(owed.cause)
        for target in self._events.load(rows) if cause is not None else ():
            if cause is not None and target.event.type != _CREATE and target.redacted_by is None:
                draft.redacted.append(_redacted_copy(target, cause.event.event_id))
        if cause is None or len(rows) < STRUCK_AT_ONCE:
            draft.entries.append(PAID_REDACTIONS.row(owed.cause))
            return
        upto = (rows[-1].pos or 0) - 1
        row = (owed.cause, owed.room_id, owed.user_id, owed.after_pos, upto)
        draft.entries.append(OWED_REDACTIONS.row(*row))

    async def goes_with_sender(self, draft: RoomDraft, target: StoredEvent) -> None:
        """Redact an event of the past, of the draft, if its sender was removed since with what they had said."""
        key = (_MEMBER, target.event.sender)
        cause = await self._present(draft, draft.state, key)
        if cause is None or not takes_words_along(cause.event) or target.event.type == _CREATE:
            return
        if target.redacted_by is not None or not await self._may_strike_all(draft, cause.event):
            return
        before = await self._states.snapshot(cause.state_before or 0)
        came = await self._present(draft, before, key)
        if came is None or came.event.depth < target.event.depth:
            target.become_redacted(redacted(target.event), cause.event.event_id)

    async def _present(self, draft: RoomDraft, state: Snapshot, key: StateKey) -> StoredEvent | None:
        return (await self._states.lookup(state, (key,), draft.unsaved)).get(key)

    async def _may_strike_all(self, draft: RoomDraft, event: Event) -> bool:
        """Whether who removes somebody may redact as well."""
        levels = await self._levels(draft, event)
        return levels.user(event.sender) >= max(levels.redact, levels.required("m.room.redaction", False))

    async def target_arrived(
        self, draft: RoomDraft, target: StoredEvent, redaction_ids: Collection[EventID]
    ) -> None:
        """Redact an event of the draft if its redaction came before it: in the draft, or as one of
        ``redaction_ids``.
        """
        event = target.event
        redactions = [
            stored
            for stored in draft.events
            if stored.event.type == "m.room.redaction" and stored.event.redacts == event.event_id
        ]
        if redaction_ids:
            redactions += (await self._events.by_ids(redaction_ids)).values()
        for redaction in redactions:
            if redaction.status is Status.ACCEPTED and await self._may_strike(draft, redaction.event, target):
                target.become_redacted(redacted(event), redaction.event.event_id)
                return

    async def _target(self, draft: RoomDraft, event_id: EventID) -> StoredEvent | None:
        for stored in reversed(draft.events):
            if stored.event.event_id == event_id:
                return stored
        return await self._events.find(event_id)

    async def _may_strike(self, draft: RoomDraft, redaction: Event, target: StoredEvent) -> bool:
        if target.event.room_id != redaction.room_id or target.event.type == _CREATE:
            return False
        if redaction.version.redactions_authorised_by_level:
            return True
        if server_of(redaction.sender) == server_of(target.event.sender):
            return True
        levels = await self._levels(draft, redaction)
        return levels.user(redaction.sender) >= levels.redact

    async def _levels(self, draft: RoomDraft, event: Event) -> PowerLevels:
        return power_levels_in(
            event.version, await self._states.lookup(draft.state, POWER_KEYS, draft.unsaved)
        )

    async def _strike(
        self, draft: RoomDraft, redaction: StoredEvent, target: StoredEvent
    ) -> list[StateChange]:
        struck = _redacted_copy(target, redaction.event.event_id)
        if target.nid in draft.unsaved:
            target.become_redacted(struck.event, redaction.event.event_id)
            return []
        draft.redacted.append(struck)
        key = target.event.key
        if key is None:
            return []
        holder = await self._states.find(draft.state, *key)
        if holder is None or holder.nid != target.nid:
            return []
        return [StateChange(key, target, struck, redaction)]


def takes_words_along(event: Event) -> bool:
    """Whether an event makes a user go, and wants what they said redacted."""
    ousts = event.type == _MEMBER and event.membership in ("leave", "ban")
    return ousts and event.state_key != event.sender and event.content.get(REDACT_EVENTS) is True


def _target_id(redaction: Event) -> EventID | None:
    """What a redaction names, unless no event can have that ID."""
    return redaction.redacts if redaction.redacts is not None and is_event_id(redaction.redacts) else None


def _redacted_copy(target: StoredEvent, redaction_id: EventID) -> StoredEvent:
    return StoredEvent(
        redacted(target.event),
        target.nid,
        received_ts=target.received_ts,
        pos=target.pos,
        ordering=target.ordering,
        outbound=target.outbound,
        status=target.status,
        state_before=target.state_before,
        state_after=target.state_after,
        transaction=target.transaction,
        redacted_by=redaction_id,
        thread=target.thread,
        notable=WAS_REDACTED if target.notable else 0,
    )
