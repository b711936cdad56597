"""What of events is worth a notification, and whom of our users they mention."""

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from storage.query import Queries, bulk, many, nothing, query
from storage.tables.events import EVENT_COLUMNS, EventRow

MENTIONS = bulk(
    "mentions",
    ("user_id", "pos", "room_id", "event_nid"),
    "on conflict (user_id, pos) do nothing",
    refers=("pos",),
    key=("user_id", "pos"),
)


class MarkedEvents(Queries):
    """For marking events that were written without marks."""

    @query(
        f"""select {EVENT_COLUMNS} from events
            where pos > %(after)s and status = 0 and notable = 0 and redacted_by is null
            order by pos limit %(limit)s""",
        many(EventRow),
    )
    def unmarked(self, after: int, limit: int) -> list[EventRow]:
        """Events after a position that have no marks."""

    @query(
        """update events set thread = %(thread)s, notable = %(notable)s
           where nid = %(nid)s and notable = 0 and redacted_by is null""",
        nothing,
    )
    def mark(self, nid: int, thread: EventID | None, notable: int) -> None: ...

    @query(
        """insert into mentions (user_id, pos, room_id, event_nid)
           values (%(user_id)s, %(pos)s, %(room_id)s, %(event_nid)s) on conflict (user_id, pos) do nothing""",
        nothing,
    )
    def mention(self, user_id: UserID, pos: int, room_id: RoomID, event_nid: int) -> None: ...
