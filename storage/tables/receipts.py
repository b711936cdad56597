"""Read receipts: up to which event somebody has read a room, or a thread of it."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from storage.query import Queries, bulk, many, maybe, query

_COLUMNS = "room_id, user_id, receipt_type, thread_id, event_id, ts, pos"


class ReceiptRow(Struct, frozen=True):
    """`thread_id` is empty for an unthreaded receipt."""

    room_id: RoomID
    user_id: UserID
    receipt_type: str
    thread_id: str
    event_id: EventID
    ts: int
    pos: int


RECEIPTS = bulk(
    "receipts",
    ("room_id", "user_id", "receipt_type", "thread_id", "event_id", "ts", "local"),
    """on conflict (room_id, user_id, receipt_type, thread_id) do update
       set event_id = excluded.event_id, ts = excluded.ts, pos = excluded.pos""",
    position="pos",
)


class Receipts(Queries):
    """Reads receipts; writes go through the journal with `RECEIPTS`."""

    @query(
        """select event_id from receipts
           where room_id = %(room_id)s and user_id = %(user_id)s and receipt_type = %(receipt_type)s
             and thread_id = %(thread_id)s""",
        maybe(EventID),
    )
    def event_id(
        self, room_id: RoomID, user_id: UserID, receipt_type: str, thread_id: str
    ) -> EventID | None: ...

    @query(
        f"""select {_COLUMNS} from receipts
            where room_id = any(%(rooms)s) and pos > %(since)s and pos <= %(upto)s
              and (receipt_type <> 'm.read.private' or user_id = %(user_id)s)
            order by pos""",
        many(ReceiptRow),
    )
    def between(self, rooms: list[RoomID], since: int, upto: int, user_id: UserID) -> list[ReceiptRow]:
        """New ones in some rooms, as a user may see them."""

    @query(
        f"""select {_COLUMNS} from unnest(%(rooms)s::text[]) as wanted (room)
            cross join lateral (
              select {_COLUMNS} from receipts where room_id = wanted.room
                and (receipt_type <> 'm.read.private' or user_id = %(user_id)s)
              order by pos desc limit %(limit)s
            ) as latest
            where pos <= %(upto)s order by pos""",
        many(ReceiptRow),
    )
    def latest(self, rooms: list[RoomID], upto: int, user_id: UserID, limit: int) -> list[ReceiptRow]:
        """The newest ones of each of some rooms, as a user may see them."""
