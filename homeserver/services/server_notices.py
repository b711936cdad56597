"""Server notices: what the server itself tells its users.

https://spec.matrix.org/v1.19/client-server-api/#server-notices
"""

from dataclasses import dataclass
from typing import Any, Final

import structlog

from homeserver.protocol.canonical_json import check_canonical
from homeserver.protocol.errors import InvalidParam, NotFound
from homeserver.protocol.identifiers import EventID, UserID, server_of
from homeserver.protocol.requester import Requester
from homeserver.services.account_data import AccountData
from homeserver.services.keyed_locks import KeyedLocks
from homeserver.services.notice_sender import NoticeSender
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.notice_rooms import NoticeRooms
from homeserver.services.rooms.transactions import Transaction, Transactions
from storage.database import Database
from storage.tables.users import Users

log = structlog.get_logger(__name__)

TAG: Final = "m.server_notice"
_NO_NOTICES: Final = frozenset(("m.room.create", "m.room.member", "m.room.redaction"))
_SCOPE: Final = "server_notice"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be told to whom; with a ``state_key`` it is a state event, such as `m.room.pinned_events`."""

    user_id: UserID
    content: dict[str, Any]
    type: str = "m.room.message"
    state_key: str | None = None


class ServerNotices:
    """Sends notices to users of this server."""

    def __init__(
        self,
        sender: NoticeSender,
        rooms: NoticeRooms,
        transactions: Transactions,
        account_data: AccountData,
        database: Database,
    ) -> None:
        self._sender = sender
        self._rooms = rooms
        self._transactions = transactions
        self._account_data = account_data
        self._database = database
        self._locks: KeyedLocks[UserID] = KeyedLocks()

    async def send(self, who: Requester, notice: Notice, txn_id: str | None) -> EventID:
        """Send a notice; the same transaction of an administrator again gives the same event.

        Raises InvalidParam for a user of another server, NotFound for one who is not here (any more), BadJson,
        EventTooLarge, Forbidden.
        """
        check_canonical(notice.content)
        if notice.type in _NO_NOTICES:
            raise InvalidParam(f"{notice.type} is no notice")
        await self._check_user(notice.user_id)
        transaction = Transaction(who, _SCOPE, txn_id)
        return await self._transactions.once(transaction, lambda: self._send(notice, transaction))

    async def _send(self, notice: Notice, transaction: Transaction) -> EventID:
        user_id = notice.user_id

        def note(draft: RoomDraft, event_id: EventID) -> None:
            self._transactions.note(draft.entries, transaction, event_id)

        async with self._locks.holding(user_id):
            await self._sender.ready()
            room_id = await self._rooms.of(user_id)
            await self._account_data.put_tag(Requester(user_id, None, None), user_id, room_id, TAG, {})
            intent = EventIntent(notice.type, notice.content, self._sender.user_id, notice.state_key)
            event_id = await self._rooms.post(room_id, user_id, intent, note)
        log.info("server_notice", by=transaction.who.user_id, user=user_id, room=room_id, event_id=event_id)
        return event_id

    async def _check_user(self, user_id: UserID) -> None:
        if server_of(user_id) != server_of(self._sender.user_id):
            raise InvalidParam("Notices go to users of this server alone")
        if user_id == self._sender.user_id:
            raise InvalidParam("Notices come from this user")
        if not await self._database.read(lambda tx: Users(tx).active_among([user_id])):
            raise NotFound("User not found")
