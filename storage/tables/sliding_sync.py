"""Sliding sync: the rooms of a user as lists show them, and what each connection was told."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, affected, many, maybe, nothing, one, query
from storage.tables.memberships import ENTERED
from storage.tables.receipts import ReceiptRow
from storage.tables.state import CurrentRow


class ListedRow(Struct, frozen=True):
    """A room of a user. ``now`` is the position of the stream at which all this is so; ``was_inside`` says of a room
    that the user is out of whether they ever were in it.
    """

    room_id: RoomID
    user_id: UserID
    membership: str
    event_nid: int
    sender: UserID
    pos: int
    forgotten: bool
    stripped_state: bytes | None
    was_inside: bool
    last_pos: int
    bump_pos: int
    name: str | None
    avatar_url: str | None
    room_type: str | None
    encryption: str | None
    joined_members: int
    invited_members: int
    now: int


class HeroRow(Struct, frozen=True):
    """One of those by whom a room without a name is called."""

    room_id: RoomID
    user_id: UserID
    displayname: str | None
    avatar_url: str | None


_LISTED = """
    select m.room_id, m.user_id, m.membership, m.event_nid, m.sender, m.pos, m.forgotten, m.stripped_state,
      m.membership in ('leave', 'ban') and exists (
        select from membership_changes was
        where was.user_id = m.user_id and was.room_id = m.room_id and was.membership = 'join'),
      coalesce(r.last_pos, 0), coalesce(r.bump_pos, 0), s.name, s.avatar_url, s.room_type, s.encryption,
      coalesce(s.joined_members, 0), coalesce(s.invited_members, 0), stream.pos as now
    from memberships m
    left join rooms r on r.room_id = m.room_id
    left join room_summaries s on s.room_id = m.room_id
    cross join stream
    where m.user_id = %(user_id)s and m.local"""
_OUT = """(m.membership in ('invite', 'knock') or m.membership in ('leave', 'ban') and (
             m.pos > %(since)s or (not m.forgotten and m.sender <> m.user_id)))"""


class ListedRooms(Queries):
    @query(f"{_LISTED} and (m.membership = 'join' or {_OUT})", many(ListedRow))
    def of_user(self, user_id: UserID, since: int) -> list[ListedRow]:
        """The rooms that a user is in, may come into, or was thrown out of; and those left after a position."""

    @query(f"{_LISTED} and (m.room_id = any(%(changed)s) or {_OUT})", many(ListedRow))
    def changed(self, user_id: UserID, since: int, changed: list[RoomID]) -> list[ListedRow]:
        """The same, but of those that the user is in only some."""

    @query(
        f"""select hero.room_id, hero.user_id, hero.displayname, hero.avatar_url
            from unnest(%(rooms)s::text[]) as wanted (room)
            cross join lateral (
              (select room_id, user_id, displayname, avatar_url, 0 as rank, {ENTERED} as entered from memberships
               where room_id = wanted.room and membership = 'join' order by {ENTERED} limit %(limit)s)
              union all
              (select room_id, user_id, displayname, avatar_url, 1 as rank, {ENTERED} as entered from memberships
               where room_id = wanted.room and membership = 'invite' order by {ENTERED} limit %(limit)s)
            ) as hero order by hero.rank, hero.entered, hero.user_id""",
        many(HeroRow),
    )
    def heroes(self, rooms: list[RoomID], limit: int) -> list[HeroRow]:
        """The first members of some rooms, and the first of those who are invited."""

    @query(
        f"""select hero.room_id, hero.user_id, hero.displayname, hero.avatar_url
            from unnest(%(rooms)s::text[]) as wanted (room)
            cross join lateral (
              select room_id, user_id, displayname, avatar_url, {ENTERED} as entered from memberships
              where room_id = wanted.room and membership in ('leave', 'ban')
              order by membership, {ENTERED} limit %(limit)s
            ) as hero order by hero.entered, hero.user_id""",
        many(HeroRow),
    )
    def former_heroes(self, rooms: list[RoomID], limit: int) -> list[HeroRow]:
        """The first of those who left some rooms."""

    @query(
        """select state.room_id, state.type, state.state_key, state.event_nid
           from unnest(%(rooms)s::text[], %(types)s::text[], %(keys)s::text[]) as wanted (room, type, key)
           join current_state state on state.room_id = wanted.room and state.type = wanted.type
             and state.state_key = wanted.key""",
        many(CurrentRow),
    )
    def entries(self, rooms: list[RoomID], types: list[str], keys: list[str]) -> list[CurrentRow]:
        """Single entries of the state of some rooms."""

    @query(
        """select state.room_id, state.type, state.state_key, state.event_nid
           from unnest(%(rooms)s::text[], %(types)s::text[]) as wanted (room, type)
           join current_state state on state.room_id = wanted.room and state.type = wanted.type""",
        many(CurrentRow),
    )
    def of_types(self, rooms: list[RoomID], types: list[str]) -> list[CurrentRow]:
        """All entries of a type of the state of some rooms."""

    @query(
        """select room_id, type, content from account_data
           where user_id = %(user_id)s
             and (room_id = '' and type = 'm.direct' or %(tags)s and type = 'm.tag')""",
        many(tuple[str, str, bytes]),
    )
    def marks(self, user_id: UserID, tags: bool) -> list[tuple[str, str, bytes]]:
        """Which rooms are direct chats, and how rooms are tagged."""

    @query(
        """select room_id, user_id, receipt_type, thread_id, event_id, ts, pos from (
             select own.* from receipts own
             where own.room_id = any(%(rooms)s) and own.user_id = %(user_id)s
             union
             select latest.* from unnest(%(rooms)s::text[]) as wanted (room)
             cross join lateral (
               select * from receipts where room_id = wanted.room and receipt_type <> 'm.read.private'
               order by pos desc limit %(limit)s
             ) as latest
           ) as found where pos <= %(upto)s order by pos""",
        many(ReceiptRow),
    )
    def receipts(self, rooms: list[RoomID], user_id: UserID, upto: int, limit: int) -> list[ReceiptRow]:
        """A user's own receipts in some rooms, and the latest of others."""

    @query(
        """select distinct room_id from receipts
           where room_id = any(%(rooms)s) and user_id = %(user_id)s and pos > %(since)s""",
        many(RoomID),
    )
    def read_since(self, rooms: list[RoomID], user_id: UserID, since: int) -> list[RoomID]:
        """Those of some rooms in which a user has read since a position."""


class Connections(Queries):
    @query(
        """select state, used_ts from sliding_sync_positions
           where user_id = %(user_id)s and device_id = %(device_id)s and conn_id = %(conn_id)s and id = %(id)s""",
        maybe(tuple[bytes, int]),
    )
    def find(self, user_id: UserID, device_id: str, conn_id: str, id: int) -> tuple[bytes, int] | None: ...

    @query(
        """insert into sliding_sync_positions (user_id, device_id, conn_id, state, used_ts)
           values (%(user_id)s, %(device_id)s, %(conn_id)s, %(state)s, %(now)s) returning id""",
        one(int),
    )
    def add(self, user_id: UserID, device_id: str, conn_id: str, state: bytes, now: int) -> int: ...

    @query(
        """delete from sliding_sync_positions
           where user_id = %(user_id)s and device_id = %(device_id)s and conn_id = %(conn_id)s
             and not id = any(%(kept)s)""",
        nothing,
    )
    def drop_others(self, user_id: UserID, device_id: str, conn_id: str, kept: list[int]) -> None: ...

    @query(
        """delete from sliding_sync_positions
           where user_id = %(user_id)s and device_id = %(device_id)s and conn_id in (
             select conn_id from sliding_sync_positions
             where user_id = %(user_id)s and device_id = %(device_id)s
             group by conn_id order by max(id) desc offset %(limit)s)""",
        nothing,
    )
    def drop_beyond(self, user_id: UserID, device_id: str, limit: int) -> None:
        """Keep only the latest connections of a device."""

    @query(
        """update sliding_sync_positions set used_ts = %(now)s
           where user_id = %(user_id)s and device_id = %(device_id)s and conn_id = %(conn_id)s and id = %(id)s""",
        nothing,
    )
    def touch(self, user_id: UserID, device_id: str, conn_id: str, id: int, now: int) -> None: ...

    @query(
        """delete from sliding_sync_positions
           where used_ts < %(before)s or device_id <> '' and not exists (
             select from devices d
             where d.user_id = sliding_sync_positions.user_id and d.device_id = sliding_sync_positions.device_id)""",
        affected,
    )
    def expire(self, before: int) -> int:
        """Forget connections that were not used since a time, and those of devices that are no more."""
