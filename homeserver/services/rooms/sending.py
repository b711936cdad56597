"""Sending events into rooms.

https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room
"""

from dataclasses import dataclass
from typing import Any, Final

from homeserver.protocol.canonical_json import check_canonical
from homeserver.protocol.errors import BadJson, Forbidden
from homeserver.protocol.identifiers import EventID, RoomID, is_event_id
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.actions import MEMBER, RoomActions, require_not_suspended
from homeserver.services.rooms.aliases import CANONICAL_ALIAS, Aliases
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.joining import Joining
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.membership_requests import AUTHORISER
from homeserver.services.rooms.redacting import Redacting
from homeserver.services.rooms.transactions import Delay, Transaction, Transactions

Content = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SendOptions:
    """What sending may be told beside the event. ``timestamp`` (milliseconds) is for application services;
    ``delay`` says which delayed event it is; ``sticky_ms`` for how long it is sticky.
    """

    timestamp: int | None = None
    delay: Delay | None = None
    sticky_ms: int | None = None


PLAIN: Final = SendOptions()


class Sending:
    """Message and state events of local users."""

    def __init__(
        self,
        actions: RoomActions,
        transactions: Transactions,
        redacting: Redacting,
        membership: Membership,
        joining: Joining,
        aliases: Aliases,
    ) -> None:
        self._actions = actions
        self._transactions = transactions
        self._redacting = redacting
        self._membership = membership
        self._joining = joining
        self._aliases = aliases

    async def send(
        self,
        who: Requester,
        room_id: RoomID,
        event_type: str,
        txn_id: str | None,
        content: Content,
        options: SendOptions = PLAIN,
    ) -> EventID:
        """Send a message event; the same transaction again gives the same event. Raises Forbidden, BadJson,
        EventTooLarge, UserSuspended, and what `RelationRules` does.
        """
        require_not_suspended(who)
        check_canonical(content)
        _check_tombstone(room_id, event_type, content)
        if event_type == "m.room.redaction":
            return await self._send_redaction(who, room_id, txn_id, content, options)
        transaction = Transaction(who, f"send {room_id} {event_type}", txn_id, options.delay)
        intent = EventIntent(
            event_type,
            content,
            who.user_id,
            origin_server_ts=_massaged(who, options),
            sticky_ms=options.sticky_ms,
        )

        async def job(draft: RoomDraft) -> EventID:
            await self._actions.relations.check(draft, intent)
            stored = await self._actions.append(draft, intent, transaction.label)
            self._transactions.note(draft.entries, transaction, stored.event.event_id)
            return stored.event.event_id

        return await self._transactions.once(transaction, lambda: self._actions.write(room_id, job))

    async def put_state(
        self,
        who: Requester,
        room_id: RoomID,
        event_type: str,
        state_key: str,
        content: Content,
        options: SendOptions = PLAIN,
    ) -> EventID:
        """Set an entry of the room's state; if it is just so already, nothing happens and the event that set
        it is the answer.

        Raises Forbidden, BadJson, EventTooLarge, UserSuspended; for aliases InvalidParam and BadAlias."""
        check_canonical(content)
        if event_type == MEMBER:
            return await self._put_member(who, room_id, state_key, content)
        require_not_suspended(who)
        _check_tombstone(room_id, event_type, content)
        if event_type == CANONICAL_ALIAS and state_key == "":
            head = await self._actions.heads.find(room_id)
            current = None if head is None else await self._actions.states.find(head.state, CANONICAL_ALIAS)
            await self._aliases.check_canonical(room_id, content, None if current is None else current.event)
        intent = EventIntent(
            event_type,
            content,
            who.user_id,
            state_key,
            origin_server_ts=_massaged(who, options),
            sticky_ms=options.sticky_ms,
        )
        transaction = Transaction(who, "", None, options.delay)

        async def job(draft: RoomDraft) -> EventID:
            stored = await self._actions.set_state(draft, intent, transaction.label)
            self._transactions.note(draft.entries, transaction, stored.event.event_id)
            return stored.event.event_id

        return await self._actions.write(room_id, job)

    async def _send_redaction(
        self,
        who: Requester,
        room_id: RoomID,
        txn_id: str | None,
        content: Content,
        options: SendOptions,
    ) -> EventID:
        """A redaction sent as any event names its target in its content, in every room version."""
        target = content.get("redacts")
        if not isinstance(target, str) or not is_event_id(target):
            raise BadJson("A redaction names the event to redact in `redacts`")
        return await self._redacting.redact(
            who, room_id, EventID(target), txn_id, content, options.delay, options.sticky_ms
        )

    async def _put_member(self, who: Requester, room_id: RoomID, target: str, content: Content) -> EventID:
        membership = content.get("membership")
        if membership == "join" and target == who.user_id:
            # Clients send back what they found there; who lets somebody in is for servers to say.
            own = {key: value for key, value in content.items() if key != AUTHORISER}
            return await self._joining.put(who, room_id, own)
        if AUTHORISER in content:
            raise Forbidden("Only servers authorise joins")
        stored = await self._membership.put(who, room_id, target, content)
        if stored is None:
            raise Forbidden("This server is not in the room")
        return stored.event.event_id


def _check_tombstone(room_id: RoomID, event_type: str, content: Content) -> None:
    """A room that replaced itself would send clients round in circles."""
    if event_type == "m.room.tombstone" and content.get("replacement_room") == room_id:
        raise BadJson("A room cannot be replaced by itself")


def _massaged(who: Requester, options: SendOptions) -> int | None:
    """https://spec.matrix.org/v1.19/application-service-api/#timestamp-massaging"""
    return options.timestamp if who.appservice_id is not None else None
