"""Redacting events. https://spec.matrix.org/v1.19/client-server-api/#redactions"""

from typing import Any

from homeserver.protocol.canonical_json import check_canonical
from homeserver.protocol.errors import Forbidden, InvalidParam, NotFound, UserSuspended
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.actions import RoomActions
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.powers import POWER_KEYS, power_levels_in
from homeserver.services.rooms.stored_event import Status
from homeserver.services.rooms.transactions import Transaction, Transactions


class Redacting:
    """Redactions by local users."""

    def __init__(self, actions: RoomActions, events: EventStore, transactions: Transactions) -> None:
        self._actions = actions
        self._events = events
        self._transactions = transactions

    async def redact(
        self, who: Requester, room_id: RoomID, target_id: EventID, txn_id: str | None, content: dict[str, Any]
    ) -> EventID:
        """Redact an event; the same transaction again gives the same redaction. ``content`` may have a
        `reason`.

        Raises Forbidden, NotFound, InvalidParam for an event of another room."""
        check_canonical(content)
        transaction = Transaction(who, f"redact {room_id} {target_id}", txn_id)
        shown = {key: value for key, value in content.items() if key != "redacts"}
        intent = EventIntent("m.room.redaction", shown, who.user_id, redacts=target_id)

        async def job(draft: RoomDraft) -> EventID:
            await self._check(draft, who, target_id)
            stored = await self._actions.append(draft, intent, transaction.label)
            self._transactions.note(draft.entries, transaction, stored.event.event_id)
            return stored.event.event_id

        return await self._transactions.once(transaction, lambda: self._actions.write(room_id, job))

    async def _check(self, draft: RoomDraft, who: Requester, target_id: EventID) -> None:
        """Refuse what would have no effect: from room version 3 on the authorisation rules let every
        redaction in.
        """
        stored = await self._events.find(target_id)
        if stored is None or stored.status is not Status.ACCEPTED:
            raise NotFound("Event not found")
        target = stored.event
        if target.room_id != draft.head.room_id:
            raise InvalidParam("The event is of another room")
        if target.type == "m.room.create":
            raise Forbidden("The create event of a room cannot be redacted")
        if who.is_suspended and target.sender != who.user_id:
            raise UserSuspended
        if not await self._may_redact(draft, who.user_id, target):
            raise Forbidden("You may not redact this event")

    async def _may_redact(self, draft: RoomDraft, user_id: UserID, target: Event) -> bool:
        if target.sender == user_id:
            return True
        state = await self._actions.draft_state(draft, POWER_KEYS)
        levels = power_levels_in(draft.head.room_version, state)
        return levels.user(user_id) >= levels.redact
