"""A user's rooms as the user has them, whatever the room itself may say: rooms that this server is not in,
and forgotten ones.

To leave, to reject and to forget never depend on another server.
"""

from typing import Any

from homeserver.protocol.errors import Forbidden
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.rooms.detached import detach
from homeserver.services.rooms.forgetting import Forgetting
from homeserver.services.rooms.own_leaves import OwnLeaves
from homeserver.services.rooms.persist import event_row
from homeserver.services.rooms.remote import RemoteMembership
from storage.bulk import Entry
from storage.database import Database
from storage.journal import Changes, Journal, Write
from storage.tables.events import OUTLIERS
from storage.tables.memberships import (
    LOCAL_MEMBERSHIP_CHANGES,
    MEMBERSHIPS,
    MembershipRow,
    Memberships,
)
from storage.transaction import Transaction


class OutsideRooms:
    """Memberships that are written by themselves, without an event in the room."""

    def __init__(
        self,
        forgetting: Forgetting,
        database: Database,
        journal: Journal,
        leaves: OwnLeaves,
        remote: RemoteMembership | None = None,
    ) -> None:
        self._forgetting = forgetting
        self._database = database
        self._journal = journal
        self._leaves = leaves
        self._remote = remote

    async def leave(self, user_id: UserID, room_id: RoomID, content: dict[str, Any]) -> None:
        """Reject an invite, or take back a knock, of a room that this server is not in. Raises Forbidden if
        there is none.
        """
        row = await self._database.read(lambda tx: Memberships(tx).find(room_id, user_id))
        if row is None or row.membership == "ban":
            raise Forbidden("You are not in this room")
        if row.membership == "leave":
            return
        event = await self._leaves.after(row.event_nid, user_id, content)
        nid = row.event_nid if event is None else event.nid
        entries = [LOCAL_MEMBERSHIP_CHANGES.row(user_id, room_id, "leave", nid), self._left(row, nid)]
        if event is not None:
            entries.append(OUTLIERS.row(*event_row(event)))
        await self._journal.write(Write(entries=entries, changes=Changes(users=frozenset((user_id,)))))
        if self._remote is not None:
            detach("leave", self._remote.leave(user_id, room_id, content), user=user_id, room=room_id)

    async def is_invited(self, user_id: UserID, room_id: RoomID) -> bool:
        """Whether the user has an invite into a room, as far as this server knows."""
        row = await self._database.read(lambda tx: Memberships(tx).find(room_id, user_id))
        return row is not None and row.membership == "invite"

    async def forget(self, user_id: UserID, room_id: RoomID) -> str | None:
        """Forget a room if the user has left it; their membership in it, None for none."""
        return await self._database.transact(lambda tx: _forget(tx, room_id, user_id))

    def _left(self, row: MembershipRow, nid: int) -> Entry:
        return MEMBERSHIPS.row(
            row.room_id,
            row.user_id,
            self._forgetting.server_name,
            "leave",
            nid,
            row.user_id,
            0,
            True,
            None,
            row.displayname,
            row.avatar_url,
            self._forgetting.is_forced(row.user_id, "leave"),
        )


def _forget(tx: Transaction, room_id: RoomID, user_id: UserID) -> str | None:
    table = Memberships(tx)
    row = table.find(room_id, user_id)
    if row is not None:
        table.forget(room_id, user_id)
    return None if row is None else row.membership
