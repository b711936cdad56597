"""What deliveries of pushes need to know, for many pushers at once."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, many, query
from storage.tables.pushers import COLUMNS, PusherRow


class OwedTo(Struct, frozen=True):
    """Something that a pusher is owed; `room_id` is that of the event, if it is about one."""

    pusher_id: int
    pos: int
    event_nid: int | None
    actions: str | None
    ts: int
    room_id: RoomID | None


class OpenRoomOf(Struct, frozen=True):
    """A room that a user is in or invited to; `sender` is who sent their membership event."""

    user_id: UserID
    room_id: RoomID
    membership: str
    sender: UserID


class ReadOf(Struct, frozen=True):
    """Up to where a user has read; `thread_id` is empty for an unthreaded receipt."""

    user_id: UserID
    room_id: RoomID
    thread_id: str
    pos: int


class PushTurns(Queries):
    @query(f"select {COLUMNS} from pushers where id = any(%(pusher_ids)s)", many(PusherRow))
    def pushers(self, pusher_ids: list[int]) -> list[PusherRow]: ...

    @query(
        """select wanted.id as pusher_id, owed.pos, owed.event_nid, owed.actions, owed.ts, events.room_id
           from unnest(%(pusher_ids)s::bigint[]) as wanted (id)
           cross join lateral (
             select pos, event_nid, actions, ts from push_outbox where pusher_id = wanted.id
             order by pos limit %(limit)s
           ) as owed
           left join events on events.nid = owed.event_nid
           order by wanted.id, owed.pos""",
        many(OwedTo),
    )
    def owed(self, pusher_ids: list[int], limit: int) -> list[OwedTo]:
        """What some pushers are owed, of each the oldest."""

    @query(
        """select user_id, room_id, membership, sender from memberships
           where user_id = any(%(user_ids)s) and local and membership in ('join', 'invite')""",
        many(OpenRoomOf),
    )
    def open_rooms(self, user_ids: list[UserID]) -> list[OpenRoomOf]: ...

    @query(
        """select receipts.user_id, receipts.room_id, receipts.thread_id, max(coalesce(events.pos, 0)) as pos
           from (select distinct user_id, room_id
                 from unnest(%(user_ids)s::text[], %(rooms)s::text[]) as pair (user_id, room_id)) as wanted
           join receipts on receipts.user_id = wanted.user_id and receipts.room_id = wanted.room_id
           join events on events.event_id = receipts.event_id and events.room_id = receipts.room_id
           where receipts.receipt_type in ('m.read', 'm.read.private')
           group by receipts.user_id, receipts.room_id, receipts.thread_id""",
        many(ReadOf),
    )
    def reads(self, user_ids: list[UserID], rooms: list[RoomID]) -> list[ReadOf]:
        """Up to where users have read rooms; the two lists go together."""

    @query(
        """select wanted.room from unnest(%(rooms)s::text[]) as wanted (room)
           where exists (select from events where events.room_id = wanted.room
                           and type in ('m.call.invite', 'm.call.answer', 'm.call.reject', 'm.call.hangup'))""",
        many(RoomID),
    )
    def with_calls(self, rooms: list[RoomID]) -> list[RoomID]:
        """Those of some rooms in which anybody ever called."""
