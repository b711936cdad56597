"""Redacting events. https://spec.matrix.org/v1.19/client-server-api/#redactions"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from homeserver.protocol.canonical_json import check_canonical
from homeserver.protocol.errors import Forbidden, InvalidParam, MatrixError, NotFound, UserSuspended
from homeserver.protocol.events.content import relation_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.actions import RoomActions
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.powers import POWER_KEYS, power_levels_in
from homeserver.services.rooms.stored_event import Status
from homeserver.services.rooms.transactions import Delay, Transaction, Transactions
from storage.database import Database
from storage.tables.redactions import StandingRedactions
from storage.tables.relations import Relations

ANY_RELATION: Final = "*"
_AT_ONCE: Final = 50
"""Related events that are redacted in one commit."""


class Redacting:
    """Redactions by local users."""

    def __init__(
        self, database: Database, actions: RoomActions, events: EventStore, transactions: Transactions
    ) -> None:
        self._database = database
        self._actions = actions
        self._events = events
        self._transactions = transactions

    async def redact(
        self,
        who: Requester,
        room_id: RoomID,
        target_id: EventID,
        txn_id: str | None,
        content: dict[str, Any],
        delay: Delay | None = None,
        sticky_ms: int | None = None,
    ) -> EventID:
        """Redact an event; the same transaction again gives the same redaction. ``content`` may have a
        `reason`; ``delay`` is of a delayed redaction, ``sticky_ms`` of a sticky one.

        Raises Forbidden, NotFound, InvalidParam for an event of another room."""
        check_canonical(content)
        transaction = Transaction(who, f"redact {room_id} {target_id}", txn_id, delay)
        shown = {key: value for key, value in content.items() if key != "redacts"}
        intent = EventIntent("m.room.redaction", shown, who.user_id, redacts=target_id, sticky_ms=sticky_ms)

        async def job(draft: RoomDraft) -> EventID:
            await self._check(draft, who, target_id)
            stored = await self._actions.append(draft, intent, transaction.label)
            self._transactions.note(draft.entries, transaction, stored.event.event_id)
            return stored.event.event_id

        return await self._transactions.once(transaction, lambda: self._actions.write(room_id, job))

    async def redact_related(
        self,
        who: Requester,
        room_id: RoomID,
        target_id: EventID,
        rel_types: Collection[str],
        content: dict[str, Any],
    ) -> None:
        """Redact the events that relate to one in some ways (`*`: in any), as far as the user may (MSC3912).

        To be done before that one is redacted: if the server ends meanwhile, the client asks again and the rest is
        done then. It stays on record for those that come later. Raises as `redact`, for the event itself.
        """
        check_canonical(content)
        chosen = None if ANY_RELATION in rel_types else list(rel_types)
        reason = content.get("reason")

        async def check(draft: RoomDraft) -> None:
            await self._check(draft, who, target_id)

        await self._actions.write(room_id, check)
        await self._database.transact(
            lambda tx: StandingRedactions(tx).put(target_id, who.user_id, room_id, chosen, reason)
        )
        await self.redact_children(who, room_id, target_id, chosen, content)

    async def redact_children(
        self,
        who: Requester,
        room_id: RoomID,
        target_id: EventID,
        chosen: list[str] | None,
        content: dict[str, Any],
    ) -> None:
        """Redact those that are here and relate to an event in some ways (None: in any), as far as the user may."""
        related = await self._related(room_id, target_id, chosen, "")
        while related:
            await self._redact_each(who, room_id, target_id, related, content)
            related = await self._related(room_id, target_id, chosen, related[-1])

    async def _related(
        self, room_id: RoomID, target_id: EventID, rel_types: list[str] | None, after: str
    ) -> list[EventID]:
        return await self._database.read(
            lambda tx: Relations(tx).related_to(room_id, target_id, rel_types, after, _AT_ONCE)
        )

    async def _redact_each(
        self,
        who: Requester,
        room_id: RoomID,
        parent_id: EventID,
        related: Sequence[EventID],
        content: dict[str, Any],
    ) -> None:
        parent = await self._events.find(parent_id)

        async def job(draft: RoomDraft) -> None:
            for event_id in related:
                try:
                    await self._check(draft, who, event_id)
                except MatrixError:
                    continue
                stored = await self._events.find(event_id)
                if stored is None or parent is None or not _is_valid_child(stored.event, parent.event):
                    continue
                await self._actions.append(
                    draft, EventIntent("m.room.redaction", content, who.user_id, redacts=event_id)
                )

        await self._actions.write(room_id, job)

    async def _check(self, draft: RoomDraft, who: Requester, target_id: EventID) -> None:
        """Refuse what would have no effect: from room version 3 on the authorisation rules let every
        redaction in.
        """
        stored = await self._events.find(target_id)
        if stored is None and await self._may_redact_unknown(draft, who):
            return
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

    async def _may_redact_unknown(self, draft: RoomDraft, who: Requester) -> bool:
        """Whether an event that is not here may be redacted: others in the room may have it, and if it comes, it comes
        redacted.
        """
        summary = draft.head.summary
        elsewhere = summary.joined_members > summary.local_members
        return elsewhere and not who.is_suspended and await self._may_redact_any(draft, who.user_id)

    async def _may_redact(self, draft: RoomDraft, user_id: UserID, target: Event) -> bool:
        return target.sender == user_id or await self._may_redact_any(draft, user_id)

    async def _may_redact_any(self, draft: RoomDraft, user_id: UserID) -> bool:
        state = await self._actions.draft_state(draft, POWER_KEYS)
        levels = power_levels_in(draft.head.room_version, state)
        return levels.user(user_id) >= levels.redact


def _is_valid_child(child: Event, parent: Event) -> bool:
    """An edit counts only if its sender wrote what it replaces."""
    relation = relation_of(child)
    if relation is None or relation.rel_type != "m.replace":
        return relation is not None
    return child.sender == parent.sender and child.type == parent.type
