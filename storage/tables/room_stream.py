"""The events of rooms in the order in which they came."""

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, many, query
from storage.tables.events import EVENT_COLUMNS, EventRow


class RoomStream(Queries):
    @query(
        f"""select {EVENT_COLUMNS} from events
           where room_id = any(%(rooms)s) and pos > %(since)s and pos <= %(upto)s and status = 0
           order by pos limit %(limit)s""",
        many(EventRow),
    )
    def between(self, rooms: list[RoomID], since: int, upto: int, limit: int) -> list[EventRow]:
        """The first events of some rooms after a position."""

    @query(
        """select user_id from memberships
           where room_id = %(room_id)s and user_id = any(%(users)s) and membership = 'join'""",
        many(UserID),
    )
    def joined_among(self, room_id: RoomID, users: list[UserID]) -> list[UserID]:
        """Those of some users who are in a room."""
