"""What users have not read yet, derived from events' marks, mentions and receipts.

A user has read a room up to their unthreaded receipt, and a thread of it (`main` is what is outside of threads) up to
the furthest of that, their receipt in the thread, and their own last message there.
"""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, many, query
from storage.tables.events import EVENT_COLUMNS, EventRow

JOINED_SINCE = """(select min(pos) from membership_changes
  where user_id = %(user_id)s and room_id = {room} and membership = 'join'
    and pos > coalesce((select max(pos) from membership_changes
                        where user_id = %(user_id)s and room_id = {room} and membership <> 'join'), 0))"""


class ReadRow(Struct, frozen=True):
    """Up to where a user has read; `thread_id` is empty for an unthreaded receipt."""

    room_id: RoomID
    thread_id: str
    pos: int


class TallyRow(Struct, frozen=True):
    """What is unread of a thread; `last` is the position of the last such event."""

    room_id: RoomID
    thread: str
    notifications: int
    highlights: int
    last: int


class Unread(Queries):
    @query(
        """select receipts.room_id, receipts.thread_id, max(coalesce(events.pos, 0))
           from receipts join events on events.event_id = receipts.event_id and events.room_id = receipts.room_id
           where receipts.room_id = any(%(rooms)s) and receipts.user_id = %(user_id)s
             and receipts.receipt_type in ('m.read', 'm.read.private')
           group by receipts.room_id, receipts.thread_id""",
        many(ReadRow),
    )
    def reads(self, user_id: UserID, rooms: list[RoomID]) -> list[ReadRow]: ...

    @query(
        f"""select wanted.room, coalesce({JOINED_SINCE.format(room="wanted.room")}, 0)
            from unnest(%(rooms)s::text[]) as wanted (room)""",
        many(tuple[RoomID, int]),
    )
    def joined_since(self, user_id: UserID, rooms: list[RoomID]) -> list[tuple[RoomID, int]]:
        """The positions at which a user came into some rooms."""

    @query(
        """select seen.room_id, seen.thread, count(*),
                  count(*) filter (where seen.notable & 2 > 0 or seen.mentioned), max(seen.pos)
           from (
             select event.room_id, event.thread, event.pos, event.sender, event.notable,
                    mentions.pos is not null as mentioned,
                    coalesce(max(event.pos) filter (where event.sender = %(user_id)s)
                             over (partition by event.room_id, event.thread), 0) as own
             from unnest(%(rooms)s::text[], %(bases)s::bigint[]) as wanted (room, base)
             cross join lateral (
               select room_id, coalesce(thread, 'main') as thread, pos, sender, notable from events
               where room_id = wanted.room and pos > wanted.base and pos <= %(upto)s and notable > 0
               order by pos desc limit %(limit)s
             ) as event
             left join mentions on event.notable & 4 > 0 and mentions.user_id = %(user_id)s and mentions.pos = event.pos
           ) as seen
           left join unnest(%(read_rooms)s::text[], %(read_threads)s::text[], %(read_to)s::bigint[])
             as read (room, thread, pos) on read.room = seen.room_id and read.thread = seen.thread
           where seen.pos > seen.own and seen.pos > coalesce(read.pos, 0) and seen.sender <> %(user_id)s
             and seen.sender <> all(%(ignored)s::text[])
             and (seen.notable & 1 > 0 or seen.mentioned
                  or seen.notable & 16 > 0 and exists (
                    select from thread_subscriptions as subscription
                    where subscription.thread = seen.thread and subscription.room_id = seen.room_id
                      and subscription.user_id = %(user_id)s and subscription.subscribed))
           group by seen.room_id, seen.thread""",
        many(TallyRow),
    )
    def tallies(
        self,
        user_id: UserID,
        rooms: list[RoomID],
        bases: list[int],
        upto: int,
        limit: int,
        read_rooms: list[RoomID],
        read_threads: list[str],
        read_to: list[int],
        ignored: list[UserID],
    ) -> list[TallyRow]:
        """What is unread by the default rules in some rooms, in each after a base, of its last `limit` events."""

    @query(
        f"""select {EVENT_COLUMNS} from (
              select {EVENT_COLUMNS} from events where room_id = %(room_id)s and pos > %(base)s and pos <= %(upto)s
              order by pos desc limit %(limit)s
            ) as latest order by pos""",
        many(EventRow),
    )
    def events(self, room_id: RoomID, base: int, upto: int, limit: int) -> list[EventRow]:
        """The last events of a room after a base, in order."""

    @query(
        f"""select room_id from unnest(%(rooms)s::text[]) as wanted (room_id)
            where exists (select from events where events.room_id = wanted.room_id and notable > 0
                            and events.pos > coalesce(
                              (select max(read.pos) from receipts
                               join events read on read.event_id = receipts.event_id
                               where receipts.room_id = wanted.room_id and receipts.user_id = %(user_id)s
                                 and receipts.thread_id = ''
                                 and receipts.receipt_type in ('m.read', 'm.read.private')),
                              {JOINED_SINCE.format(room="wanted.room_id")}, 0))""",
        many(RoomID),
    )
    def with_news(self, user_id: UserID, rooms: list[RoomID]) -> list[RoomID]:
        """Those of some rooms in which anything might notify the user, depending on their rules."""

    @query(
        f"""select candidate.nid, candidate.pos from (
              select event.nid, event.pos from memberships
              cross join lateral (
                select nid, pos from events
                where room_id = memberships.room_id and pos < %(before)s and (notable > 0 or %(all_events)s)
                  and redacted_by is null
                  and pos > coalesce({JOINED_SINCE.format(room="memberships.room_id")}, 0)
                order by pos desc limit %(limit)s
              ) as event
              where memberships.user_id = %(user_id)s and memberships.local and memberships.membership = 'join'
              union
              select event_nid, pos from membership_changes
              where user_id = %(user_id)s and membership = 'invite' and pos < %(before)s
            ) as candidate order by candidate.pos desc limit %(limit)s""",
        many(tuple[int, int]),
    )
    def candidates(self, user_id: UserID, before: int, all_events: bool, limit: int) -> list[tuple[int, int]]:
        """Numbers and positions of events that may have notified a user, the latest first: those of their rooms
        since they came, and invites. Only those that notify by default, or all.
        """
