"""The rooms in which users get the notices of this server."""

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, affected, bulk, many, maybe, query

NOTICE_ROOMS = bulk("server_notice_rooms", ("user_id", "sender", "room_id"))
"""Written with the room; of two that are made at once one fails."""


class NoticeRooms(Queries):
    @query(
        "select room_id from server_notice_rooms where user_id = %(user_id)s and sender = %(sender)s",
        maybe(RoomID),
    )
    def room_of(self, user_id: UserID, sender: UserID) -> RoomID | None: ...

    @query("select sender from server_notice_rooms where user_id = %(user_id)s", many(UserID))
    def senders(self, user_id: UserID) -> list[UserID]: ...

    @query(
        """delete from server_notice_rooms
           where user_id = %(user_id)s and sender = %(sender)s and room_id = %(room_id)s""",
        affected,
    )
    def forget(self, user_id: UserID, sender: UserID, room_id: RoomID) -> int:
        """Let another room take the place of one that can be used no more."""
