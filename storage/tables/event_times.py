"""Events by the time at which their senders say that they sent them."""

from homeserver.protocol.identifiers import RoomID
from storage.query import Queries, many, query
from storage.tables.events import EVENT_COLUMNS, EventRow

_SELECT = f"""select {EVENT_COLUMNS}
             from events where room_id = %(room_id)s and ordering is not null and status = 0"""


class EventTimes(Queries):
    @query(
        f"""{_SELECT} and origin_server_ts >= %(ts)s
            order by origin_server_ts, depth, ordering limit %(limit)s""",
        many(EventRow),
    )
    def from_then(self, room_id: RoomID, ts: int, limit: int) -> list[EventRow]:
        """The first events at or after a time."""

    @query(
        f"""{_SELECT} and origin_server_ts <= %(ts)s
            order by origin_server_ts desc, depth desc, ordering desc limit %(limit)s""",
        many(EventRow),
    )
    def until_then(self, room_id: RoomID, ts: int, limit: int) -> list[EventRow]:
        """The last events at or before a time."""
