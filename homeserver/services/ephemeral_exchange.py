"""Typing notices and receipts between servers: what others send us, and what of ours they are told.

https://spec.matrix.org/v1.19/server-server-api/#edus
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import (
    EventID,
    RoomID,
    ServerName,
    UserID,
    is_event_id,
    is_room_id,
    is_user_id,
    server_of,
)
from homeserver.services.receipts import MAIN_THREAD, READ, UNTHREADED, Receipts
from homeserver.services.rooms.detached import detach
from homeserver.services.rooms.server_access import ServerAccess
from homeserver.services.typing import Typing
from storage.tables.receipts import ReceiptRow

Content = dict[str, Any]

MAX_RECEIPTS = 1000
"""Receipts of one EDU that are looked at."""


class EduSender(Protocol):
    """Sends EDUs. One that waits under the same ``key`` is replaced."""

    def send_edu(
        self, destinations: Iterable[ServerName], edu_type: str, content: Content, key: object = None
    ) -> None:
        """To some servers."""

    async def send_edu_to_room(
        self, room_id: RoomID, edu_type: str, content: Content, key: object = None
    ) -> None:
        """To all servers in a room."""


@dataclass(frozen=True, slots=True)
class EphemeralExchange:
    """The way of ephemeral data in both directions."""

    access: ServerAccess
    typing: Typing
    receipts: Receipts
    sender: EduSender

    def connect(self) -> None:
        """Have other servers told what happens here."""
        self.typing.when_local_changed(self._typed)
        self.receipts.when_sent(self._read)

    async def typing_received(self, origin: ServerName, content: Content) -> None:
        """An `m.typing` of another server."""
        room_id, user_id = content.get("room_id"), content.get("user_id")
        if not isinstance(room_id, str) or not is_room_id(room_id):
            return
        if not isinstance(user_id, str) or not _is_user_of(origin, user_id):
            return
        if await self._admits(RoomID(room_id), origin):
            await self.typing.receive(RoomID(room_id), UserID(user_id), content.get("typing") is True)

    async def receipts_received(self, origin: ServerName, content: Content) -> None:
        """An `m.receipt` of another server."""
        left = MAX_RECEIPTS
        for room_id, by_type in content.items():
            if not is_room_id(room_id) or not isinstance(by_type, dict):
                continue
            rows = _receipts(origin, RoomID(room_id), by_type)[:left]
            left -= len(rows)
            if rows and await self._admits(RoomID(room_id), origin):
                await self.receipts.receive(RoomID(room_id), rows)

    async def _admits(self, room_id: RoomID, origin: ServerName) -> bool:
        try:
            head = await self.access.participating(room_id, origin)
        except NotFound:
            return False
        return head is not None

    def _typed(self, room_id: RoomID, user_id: UserID, typing: bool) -> None:
        content = {"room_id": room_id, "typing": typing, "user_id": user_id}
        sending = self.sender.send_edu_to_room(room_id, "m.typing", content, (room_id, user_id))
        detach("typing", sending, room=room_id)

    def _read(self, row: ReceiptRow) -> None:
        data: Content = {"ts": row.ts}
        if row.thread_id != UNTHREADED:
            data["thread_id"] = row.thread_id
        content: Content = {row.room_id: {READ: {row.user_id: {"data": data, "event_ids": [row.event_id]}}}}
        key = (row.room_id, row.user_id, row.thread_id)
        sending = self.sender.send_edu_to_room(row.room_id, "m.receipt", content, key)
        detach("receipt", sending, room=row.room_id)


def _is_user_of(origin: ServerName, user_id: Any) -> bool:
    return isinstance(user_id, str) and is_user_id(user_id) and server_of(user_id) == origin


def _receipts(origin: ServerName, room_id: RoomID, by_type: Content) -> list[ReceiptRow]:
    """The public receipts of the server's own users; all else is left out."""
    rows = []
    readers = by_type.get(READ)
    for user_id, receipt in readers.items() if isinstance(readers, dict) else ():
        if not _is_user_of(origin, user_id) or not isinstance(receipt, dict):
            continue
        event_ids, data = receipt.get("event_ids"), receipt.get("data")
        event_id = event_ids[0] if isinstance(event_ids, list) and event_ids else None
        if not (isinstance(event_id, str) and is_event_id(event_id)):
            continue
        data = data if isinstance(data, dict) else {}
        ts, thread_id = data.get("ts"), data.get("thread_id")
        thread_id = UNTHREADED if thread_id is None else thread_id
        if type(ts) is not int or not 0 <= ts < 2**53:
            ts = 0
        if not (
            thread_id in (UNTHREADED, MAIN_THREAD) or (isinstance(thread_id, str) and is_event_id(thread_id))
        ):
            continue
        rows.append(ReceiptRow(room_id, UserID(user_id), READ, thread_id, EventID(event_id), ts, 0))
    return rows
