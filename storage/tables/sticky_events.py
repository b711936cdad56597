"""Events that are sticky, and until when."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, ServerName, UserID
from storage.query import Queries, affected, bulk, bulk_delete, many, query
from storage.tables.events import EVENT_COLUMNS, EventRow
from storage.tables.unread import JOINED_SINCE

STICKY_EVENTS = bulk(
    "sticky_events",
    ("room_id", "pos", "nid", "own", "expires_ts"),
    "on conflict (room_id, pos) do nothing",
    refers=("pos",),
    key=("room_id", "pos"),
)

DOUBTFUL_EVENTS = bulk(
    "doubtful_sticky_events", ("nid", "room_id", "expires_ts"), "on conflict (nid) do nothing"
)
"""Soft-failed events that are sticky, and such as are to be judged once more."""
ONCE = 2**62
"""When those expire that are judged once more and then no more."""
SETTLED_EVENTS = bulk_delete("doubtful_sticky_events", ("nid",))
"""Those that are accepted by now."""

_COLUMNS = ", ".join(f"event.{name.strip()}" for name in EVENT_COLUMNS.split(","))
_ERASED = "exists (select from users where users.user_id = event.sender and users.erased)"
_SHOWN = f"""event.status = 0 and event.redacted_by is null and event.sender <> all(%(ignored)s::text[])
              and (not {_ERASED} or event.pos > {JOINED_SINCE.format(room="event.room_id")})"""
"""What erased users said is shown to who was there."""


class Newcomer(Struct, frozen=True):
    """A server that came into a room at a position."""

    server: ServerName
    room_id: RoomID
    joined_pos: int


class StickyEvents(Queries):
    @query(
        f"""select {_COLUMNS} from unnest(%(rooms)s::text[], %(sinces)s::bigint[]) as wanted (room, since)
            cross join lateral (
              select nid, pos from sticky_events
              where room_id = wanted.room and pos > wanted.since and pos <= %(upto)s and expires_ts > %(now)s
              order by pos desc limit %(limit)s
            ) as sticky
            join events as event on event.nid = sticky.nid
            where {_SHOWN} order by event.pos""",
        many(EventRow),
    )
    def between(
        self,
        user_id: UserID,
        rooms: list[RoomID],
        sinces: list[int],
        upto: int,
        now: int,
        ignored: list[UserID],
        limit: int,
    ) -> list[EventRow]:
        """What is sticky in some rooms, in each after a position of its own."""

    @query(
        f"""select {_COLUMNS} from sticky_events as sticky join events as event on event.nid = sticky.nid
            where sticky.room_id = any(%(rooms)s) and sticky.pos <= %(upto)s and sticky.expires_ts > %(now)s
              and (sticky.pos > %(since)s
                   or {JOINED_SINCE.format(room="sticky.room_id")} > %(since)s)
              and {_SHOWN}
            order by event.pos limit %(limit)s""",
        many(EventRow),
    )
    def after(
        self,
        user_id: UserID,
        rooms: list[RoomID],
        since: int,
        upto: int,
        now: int,
        ignored: list[UserID],
        limit: int,
    ) -> list[EventRow]:
        """What is sticky in some rooms after a position, the oldest first; all of it where the user came later."""

    @query(
        f"""select event.json from sticky_events as sticky join events as event on event.nid = sticky.nid
           where sticky.room_id = %(room_id)s and sticky.own and sticky.pos < %(before)s
             and sticky.expires_ts > %(now)s and event.redacted_by is null and not {_ERASED}
           order by sticky.pos""",
        many(str),
    )
    def own(self, room_id: RoomID, before: int, now: int) -> list[str]:
        """Canonical PDUs of our users that are sticky, of those before a position; but what erased users said only
        those servers have that were there.
        """

    @query(
        """select server, room_id, joined_pos from room_servers
           where room_id = any(%(rooms)s) and joined_pos > %(after)s and joined_pos <= %(upto)s
             and joined_members > 0""",
        many(Newcomer),
    )
    def newcomers(self, rooms: list[RoomID], after: int, upto: int) -> list[Newcomer]:
        """Servers that came into some rooms between two positions."""

    @query("select distinct room_id from sticky_events where own and expires_ts > %(now)s", many(RoomID))
    def rooms(self, now: int) -> list[RoomID]:
        """Rooms in which anything of our users is sticky."""

    @query("delete from sticky_events where expires_ts <= %(now)s", affected)
    def expire(self, now: int) -> int: ...


class DoubtfulEvent(Struct, frozen=True):
    """An event that is not accepted."""

    nid: int
    room_id: RoomID
    expires_ts: int


class DoubtfulEvents(Queries):
    """Sticky events that the state of their room did not allow when they came."""

    @query("select distinct room_id from doubtful_sticky_events where expires_ts > %(now)s", many(RoomID))
    def rooms(self, now: int) -> list[RoomID]:
        """Where there are any."""

    @query(
        """select nid, room_id, expires_ts from doubtful_sticky_events
           where room_id = any(%(rooms)s) and expires_ts > %(now)s order by nid""",
        many(DoubtfulEvent),
    )
    def of_rooms(self, rooms: list[RoomID], now: int) -> list[DoubtfulEvent]:
        """Those of some rooms that are sticky still, in the order in which they came."""

    @query("delete from doubtful_sticky_events where expires_ts <= %(now)s", affected)
    def expire(self, now: int) -> int: ...
