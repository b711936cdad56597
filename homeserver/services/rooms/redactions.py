"""What a redaction does to the event that it names, whichever of the two comes first."""

from collections.abc import Collection

from homeserver.protocol.events.content import PowerLevels
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.redaction import redacted
from homeserver.protocol.identifiers import EventID, server_of
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.notability import WAS_REDACTED
from homeserver.services.rooms.state_change import StateChange
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent
from storage.tables.events import REDACTIONS


class RedactionEffects:
    """Applies redactions within a draft. A redaction is remembered, so that a target that comes later is
    redacted on arrival.

    https://spec.matrix.org/v1.19/rooms/v11/#handling-redactions
    """

    def __init__(self, events: EventStore, states: StateStore) -> None:
        self._events = events
        self._states = states

    async def forbids(self, draft: RoomDraft, redaction: Event) -> str | None:
        """Why a redaction may not take effect, which clients must not see then; None also if its target is
        not here yet.
        """
        if redaction.version.redactions_authorised_by_level or redaction.redacts is None:
            return None
        target = await self._target(draft, redaction.redacts)
        if target is None or await self._may_strike(draft, redaction, target):
            return None
        return "the sender may not redact that event"

    async def redaction_arrived(self, draft: RoomDraft, redaction: StoredEvent) -> list[StateChange]:
        """Note an accepted redaction of the draft and strike its target, if it is known.

        Returns the changes of current state that come of it: an entry may have lost its content."""
        target_id = redaction.event.redacts
        if target_id is None:
            return []
        draft.entries.append(REDACTIONS.row(target_id, redaction.event.event_id, redaction.event.room_id))
        target = await self._target(draft, target_id)
        if target is None or not await self._may_strike(draft, redaction.event, target):
            return []
        return await self._strike(draft, redaction, target)

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
        if target.event.room_id != redaction.room_id or target.event.type == "m.room.create":
            return False
        if redaction.version.redactions_authorised_by_level:
            return True
        if server_of(redaction.sender) == server_of(target.event.sender):
            return True
        found = await self._states.lookup(
            draft.state, (("m.room.create", ""), ("m.room.power_levels", "")), draft.unsaved
        )
        power_levels, create = found.get(("m.room.power_levels", "")), found.get(("m.room.create", ""))
        levels = PowerLevels.of(
            redaction.version,
            None if power_levels is None else power_levels.event,
            None if create is None else create.event,
        )
        return levels.user(redaction.sender) >= levels.redact

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
