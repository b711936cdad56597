"""The directory of users: their entries, and whose are stale."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, ServerName, UserID
from storage.query import Queries, bulk, many, maybe, nothing, one, query

_OPEN = "(r.join_rule = 'public' or r.history_visibility = 'world_readable')"
_CHANGES = "c.pos > %(after)s and c.pos <= %(upto)s"


class KnownUserRow(Struct, frozen=True):
    """What is known of a user. `public`: in a room that anybody may join or read."""

    user_id: UserID
    displayname: str | None
    avatar_url: str | None
    public: bool


class FoundUserRow(Struct, frozen=True):
    """An entry that was found: 0 for the whole name, and the more the less of it is what was looked for."""

    user_id: UserID
    display_name: str | None
    avatar_url: str | None
    distance: int
    shares_room: bool


_DISTANCE = """case when d.name_words = %(whole)s or d.id_words = %(whole)s then 0
                    when d.name_words like %(begins)s or d.id_words like %(begins)s then 1
                    when d.name_words like '%%' || %(begins)s or d.id_words like '%%' || %(begins)s then 2
                    else 3 end"""

# Subqueries in place of joins: they are asked of one user after the other, until there are enough.
_SHARES = """coalesce(d.user_id <> %(user_id)s and case when d.local then
                 (select true from memberships theirs join memberships mine using (room_id)
                  where theirs.user_id = d.user_id and theirs.membership = 'join' and theirs.local
                    and mine.user_id = %(user_id)s and mine.membership = 'join' and mine.local limit 1)
               else
                 (select true from memberships theirs join memberships mine using (room_id)
                  where theirs.user_id = d.user_id and theirs.membership = 'join' and not theirs.local
                    and mine.user_id = %(user_id)s and mine.membership = 'join' and mine.local limit 1)
               end, false)"""

_MATCHING = f"""select d.*, {_DISTANCE} as distance from user_directory d
    where d.pieces @> %(pieces)s::int[] and (d.name_words || d.id_words) like all(%(patterns)s::text[])
      and (%(server)s::text is null or substr(d.user_id, strpos(d.user_id, ':') + 1) like %(server)s)
    order by distance, d.display_name is null, d.user_id offset 0"""

# With one letter wrong, three of the pieces are.
_ALIKE = """select d.*, 4 as distance, cardinality(array(
        select unnest(d.pieces) intersect select unnest(%(pieces)s::int[]))) as common
    from (select * from user_directory where pieces && %(pieces)s::int[] limit 10000) d"""

_SHOWN = "d.user_id, d.display_name, d.avatar_url, d.distance"


class UserDirectory(Queries):
    @query(
        f"""select {_SHOWN}, {_SHARES} as shares_room from ({_MATCHING}) d
            where d.public or %(everybody)s limit %(limit)s""",
        many(FoundUserRow),
        planned_anew=True,
    )
    def public(
        self,
        user_id: UserID,
        everybody: bool,
        whole: str,
        begins: str,
        pieces: list[int],
        patterns: list[str],
        server: str | None,
        limit: int,
    ) -> list[FoundUserRow]:
        """Users whom anybody may find, the nearest first; with ``everybody`` all that match."""

    @query(
        f"select {_SHOWN}, true as shares_room from ({_MATCHING}) d where {_SHARES} limit %(limit)s",
        many(FoundUserRow),
        planned_anew=True,
    )
    def sharing(
        self,
        user_id: UserID,
        whole: str,
        begins: str,
        pieces: list[int],
        patterns: list[str],
        server: str | None,
        limit: int,
    ) -> list[FoundUserRow]:
        """Users who share a room with a local one, the nearest first."""

    @query(
        f"""select {_SHOWN}, {_SHARES} as shares_room from (
              select * from ({_ALIKE}) alike where common >= %(least)s
              order by common desc, cardinality(pieces), user_id limit 1000) d
            where d.public or %(everybody)s or {_SHARES} limit %(limit)s""",
        many(FoundUserRow),
        planned_anew=True,
    )
    def alike(
        self, user_id: UserID, everybody: bool, pieces: list[int], least: int, limit: int
    ) -> list[FoundUserRow]:
        """Users with at least so many of some pieces, the likest first; of very many, not all are looked at."""

    @query("delete from user_directory where user_id = any(%(user_ids)s)", nothing)
    def remove(self, user_ids: list[UserID]) -> None: ...

    @query("delete from user_directory", nothing)
    def clear(self) -> None: ...


class KnownUsers(Queries):
    @query(
        f"""select u.user_id, p.displayname, p.avatar_url, exists (
              select from memberships m join room_summaries r using (room_id)
              where m.user_id = u.user_id and m.local and m.membership = 'join' and {_OPEN}) as public
            from users u left join profiles p using (user_id)
            where u.user_id = any(%(user_ids)s) and not u.deactivated and not u.is_guest""",
        many(KnownUserRow),
    )
    def ours(self, user_ids: list[UserID]) -> list[KnownUserRow]: ...

    @query(
        f"""select latest.* from unnest(%(user_ids)s::text[]) as wanted (user_id) cross join lateral (
              select m.user_id, m.displayname, m.avatar_url, coalesce({_OPEN}, false) as public
              from memberships m join room_summaries r using (room_id)
              where m.user_id = wanted.user_id and m.membership = 'join' and not m.local and r.local_members > 0
              order by public desc, m.pos desc limit 1) as latest""",
        many(KnownUserRow),
    )
    def theirs(self, user_ids: list[UserID]) -> list[KnownUserRow]:
        """Users of other servers in rooms of ours, as they are called in the room that most people see."""


class StaleUsers(Queries):
    @query("select pos from user_directory_progress for update", one(int))
    def lock_position(self) -> int: ...

    @query("select pos from user_directory_progress", one(int))
    def position(self) -> int: ...

    @query("update user_directory_progress set pos = %(pos)s", nothing)
    def set_position(self, pos: int) -> None: ...

    @query("select user_id from user_directory_stale limit 1", maybe(UserID))
    def any(self) -> UserID | None: ...

    @query(
        f"""insert into user_directory_stale (user_id)
            select distinct c.state_key from state_changes c where c.type = 'm.room.member' and {_CHANGES}
            order by 1 on conflict (user_id) do update set user_id = excluded.user_id""",
        nothing,
    )
    def mark_moved(self, after: int, upto: int) -> None:
        """Those whose memberships changed between two positions."""

    @query(
        f"""select c.room_id from state_changes c
            where c.type in ('m.room.join_rules', 'm.room.history_visibility') and {_CHANGES}
            union select room_id from room_servers where server = %(own)s
              and joined_pos > %(after)s and joined_pos <= %(upto)s
            union select room_id from room_servers where server = %(own)s
              and left_pos > %(after)s and left_pos <= %(upto)s
            union select room_id from membership_changes
            where renewed and pos > %(after)s and pos <= %(upto)s""",
        many(RoomID),
    )
    def changed_rooms(self, own: ServerName, after: int, upto: int) -> list[RoomID]:
        """Rooms that opened or closed, or that this server came into or left."""

    @query(
        """insert into user_directory_stale (user_id)
           select distinct user_id from memberships where room_id = any(%(rooms)s) and membership = 'join'
           order by 1 on conflict (user_id) do update set user_id = excluded.user_id""",
        nothing,
    )
    def mark_members(self, rooms: list[RoomID]) -> None: ...

    @query(
        """delete from user_directory_stale where user_id in (
             select user_id from user_directory_stale limit %(limit)s for update skip locked) returning user_id""",
        many(UserID),
    )
    def take(self, limit: int) -> list[UserID]:
        """Some of them; they are stale again if the transaction fails, or if they change meanwhile."""

    @query(
        """insert into user_directory_stale (user_id)
           select user_id from users where not deactivated
           union select user_id from memberships where membership = 'join' and not local
           order by 1 on conflict (user_id) do update set user_id = excluded.user_id""",
        nothing,
    )
    def mark_all(self) -> None: ...


ENTRIES = bulk(
    "user_directory",
    ("user_id", "local", "display_name", "avatar_url", "public", "name_words", "id_words", "pieces"),
    """on conflict (user_id) do update set display_name = excluded.display_name, avatar_url = excluded.avatar_url,
       public = excluded.public, name_words = excluded.name_words, id_words = excluded.id_words,
       pieces = excluded.pieces""",
)
