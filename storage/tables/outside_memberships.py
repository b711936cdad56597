"""Invites and knocks of our users in rooms that this server is not in, by the servers that know of them."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, ServerName, UserID
from storage.query import Queries, bulk, many, maybe, nothing, query


class OwedLeave(Struct, frozen=True):
    """A leave of which no server of the room knows yet; `leave_content` is JSON."""

    room_id: RoomID
    user_id: UserID
    leave_content: bytes


OUTSIDE_MEMBERSHIPS = bulk(
    "outside_memberships",
    ("room_id", "user_id", "servers"),
    """on conflict (room_id, user_id) do update set servers = excluded.servers, leave_content = null""",
)


class OutsideMemberships(Queries):
    """Reads and writes them."""

    @query(
        "select servers from outside_memberships where room_id = %(room_id)s and user_id = %(user_id)s",
        maybe(list[ServerName]),
    )
    def servers(self, room_id: RoomID, user_id: UserID) -> list[ServerName] | None: ...

    @query(
        """insert into outside_memberships (room_id, user_id, servers, leave_content)
           values (%(room_id)s, %(user_id)s, %(servers)s::text[], %(leave_content)s)
           on conflict (room_id, user_id) do update set leave_content = excluded.leave_content""",
        nothing,
    )
    def owe_leave(
        self, room_id: RoomID, user_id: UserID, servers: list[ServerName], leave_content: bytes
    ) -> None: ...

    @query(
        """select room_id, user_id, leave_content from outside_memberships
           where leave_content is not null order by room_id, user_id limit 1000""",
        many(OwedLeave),
    )
    def owed_leaves(self) -> list[OwedLeave]: ...

    @query(
        "delete from outside_memberships where room_id = %(room_id)s and user_id = %(user_id)s",
        nothing,
    )
    def remove(self, room_id: RoomID, user_id: UserID) -> None: ...
