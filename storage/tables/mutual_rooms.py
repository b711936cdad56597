"""Rooms that two users are in."""

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, many, one, query

_SHARED = """from memberships mine join memberships theirs on theirs.room_id = mine.room_id
             and theirs.user_id = %(other)s and theirs.membership = 'join'
             where mine.user_id = %(user_id)s and mine.membership = 'join' and mine.local"""


class MutualRooms(Queries):
    @query(
        f"""select mine.room_id {_SHARED} and mine.room_id > %(after)s
            order by mine.room_id limit %(limit)s""",
        many(RoomID),
    )
    def page(self, user_id: UserID, other: UserID, after: str, limit: int) -> list[RoomID]: ...

    @query(f"select count(*) {_SHARED}", one(int))
    def count(self, user_id: UserID, other: UserID) -> int: ...
