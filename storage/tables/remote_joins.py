"""Joins through other servers that are under way."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, ServerName, UserID
from storage.query import Queries, many, nothing, query


class RemoteJoin(Struct, frozen=True):
    """One of them; `content` is JSON."""

    room_id: RoomID
    user_id: UserID
    content: str
    servers: list[ServerName]
    attempts: int


class RemoteJoins(Queries):
    """Notes them, and finds those that nobody works at any more. Times are in milliseconds since the epoch."""

    @query(
        """insert into remote_joins (room_id, user_id, content, servers, alive_until)
           values (%(room_id)s, %(user_id)s, %(content)s, %(servers)s::text[], %(alive_until)s)
           on conflict (room_id, user_id) do update set content = excluded.content,
             servers = excluded.servers, alive_until = excluded.alive_until, attempts = 1""",
        nothing,
    )
    def put(
        self, room_id: RoomID, user_id: UserID, content: str, servers: list[ServerName], alive_until: int
    ) -> None: ...

    @query(
        """update remote_joins set alive_until = %(alive_until)s
           where room_id = %(room_id)s and user_id = %(user_id)s""",
        nothing,
    )
    def is_alive(self, room_id: RoomID, user_id: UserID, alive_until: int) -> None: ...

    @query(
        """update remote_joins set alive_until = %(alive_until)s, attempts = attempts + 1
           where alive_until < %(now)s returning room_id, user_id, content, servers, attempts""",
        many(RemoteJoin),
    )
    def take_over(self, now: int, alive_until: int) -> list[RemoteJoin]:
        """Those of who died, which are the caller's from now on."""

    @query(
        """update remote_joins set alive_until = 0, attempts = greatest(attempts - 1, 0)
           from unnest(%(rooms)s::text[], %(users)s::text[]) as mine (room_id, user_id)
           where remote_joins.room_id = mine.room_id and remote_joins.user_id = mine.user_id""",
        nothing,
    )
    def let_go(self, rooms: list[RoomID], users: list[UserID]) -> None:
        """Leave some to others, as if nobody had begun."""

    @query("delete from remote_joins where room_id = %(room_id)s and user_id = %(user_id)s", nothing)
    def remove(self, room_id: RoomID, user_id: UserID) -> None: ...
