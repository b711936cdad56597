"""What the counts of a user are made of, beside what is unread of a room (`tables.unread`)."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, many, query


class OpenRoomRow(Struct, frozen=True):
    """A room that a user is in or invited to; `sender` is who sent their membership event."""

    room_id: RoomID
    membership: str
    sender: UserID


class OpenRooms(Queries):
    @query(
        """select room_id, membership, sender from memberships
           where user_id = %(user_id)s and room_id = any(%(rooms)s) and local and membership in ('join', 'invite')""",
        many(OpenRoomRow),
    )
    def of_user_in(self, user_id: UserID, rooms: list[RoomID]) -> list[OpenRoomRow]:
        """Those among some rooms."""

    @query(
        """select call.nid from unnest(%(rooms)s::text[], %(bases)s::bigint[]) as wanted (room, base)
           cross join lateral (
             select nid from events
             where room_id = wanted.room and pos > wanted.base and redacted_by is null
               and type in ('m.call.invite', 'm.call.answer', 'm.call.reject', 'm.call.hangup')
             order by pos desc limit %(limit)s
           ) as call""",
        many(int),
    )
    def calls(self, rooms: list[RoomID], bases: list[int], limit: int) -> list[int]:
        """Events of calls in some rooms, in each the latest after a base."""
