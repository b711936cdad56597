"""Who is, was or may be in which room."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, ServerName, UserID
from storage.query import Queries, affected, bulk, bulk_delete, many, maybe, one, query

ENTERED = "coalesce(entered_pos, pos)"
"""The position since which a member's membership is what it is: another name changes nothing of it."""

_COLUMNS = """room_id, user_id, membership, event_nid, sender, pos, forgotten, stripped_state, displayname,
              avatar_url"""


class MembershipRow(Struct, frozen=True):
    """A user's last known membership. `stripped_state` is a JSON list, for invites and knocks from outside the room."""

    room_id: RoomID
    user_id: UserID
    membership: str
    event_nid: int
    sender: UserID
    pos: int
    forgotten: bool
    stripped_state: bytes | None
    displayname: str | None
    avatar_url: str | None


class MembershipChangeRow(Struct, frozen=True):
    """`renewed`: the room is to be shown as one that the user has just come into, as its members are known now."""

    pos: int
    room_id: RoomID
    membership: str
    event_nid: int
    renewed: bool


class Memberships(Queries):
    @query(
        f"select {_COLUMNS} from memberships where room_id = %(room_id)s and user_id = %(user_id)s",
        maybe(MembershipRow),
    )
    def find(self, room_id: RoomID, user_id: UserID) -> MembershipRow | None: ...

    @query(f"select {_COLUMNS} from memberships where user_id = %(user_id)s and local", many(MembershipRow))
    def of_user(self, user_id: UserID) -> list[MembershipRow]: ...

    @query(
        "select room_id from memberships where user_id = %(user_id)s and membership = 'join' and local",
        many(RoomID),
    )
    def joined_rooms(self, user_id: UserID) -> list[RoomID]: ...

    @query(
        f"""select {_COLUMNS} from memberships
            where room_id = %(room_id)s and membership = any(%(memberships)s) order by {ENTERED}, user_id""",
        many(MembershipRow),
    )
    def of_room(self, room_id: RoomID, memberships: list[str]) -> list[MembershipRow]: ...

    @query(
        "select user_id from memberships where room_id = %(room_id)s and membership = 'join' and local",
        many(UserID),
    )
    def local_joined(self, room_id: RoomID) -> list[UserID]: ...

    @query(
        """select distinct theirs.user_id from memberships mine
           join memberships theirs on theirs.room_id = mine.room_id and theirs.membership = 'join'
             and theirs.user_id = any(%(others)s)
           where mine.user_id = %(user_id)s and mine.membership = 'join' and mine.local""",
        many(UserID),
    )
    def sharing(self, user_id: UserID, others: list[UserID]) -> list[UserID]:
        """Those of some users who share a room with a local user."""

    @query(
        """select distinct room_id from memberships
           where room_id = any(%(rooms)s) and user_id = any(%(user_ids)s) and membership = 'join'""",
        many(RoomID),
    )
    def joined_among(self, rooms: list[RoomID], user_ids: list[UserID]) -> list[RoomID]:
        """Those of some rooms that any of some users is in."""

    @query(
        """select before.pos, before.room_id, before.membership, before.event_nid, before.renewed
           from unnest(%(rooms)s::text[]) as wanted (room)
           cross join lateral (
             select pos, room_id, membership, event_nid, renewed from membership_changes
             where user_id = %(user_id)s and room_id = wanted.room and pos <= %(upto)s
             order by pos desc limit 1
           ) as before""",
        many(MembershipChangeRow),
    )
    def at_in(self, user_id: UserID, rooms: list[RoomID], upto: int) -> list[MembershipChangeRow]:
        """A local user's memberships in some rooms at a position."""

    @query(
        """select ended.pos, ended.room_id, ended.membership, ended.event_nid, ended.renewed
           from unnest(%(rooms)s::text[]) as wanted (room)
           cross join lateral (
             select pos, room_id, membership, event_nid, renewed from membership_changes
             where user_id = %(user_id)s and room_id = wanted.room
               and pos > (select max(pos) from membership_changes
                          where user_id = %(user_id)s and room_id = wanted.room and membership = 'join')
             order by pos limit 1
           ) as ended""",
        many(MembershipChangeRow),
    )
    def last_leaves(self, user_id: UserID, rooms: list[RoomID]) -> list[MembershipChangeRow]:
        """What ended a user's last stay in each of some rooms, if there was one."""

    @query(
        f"""select {_COLUMNS} from memberships
            where user_id = %(user_id)s and local and (membership in ('join', 'invite', 'knock') or not forgotten
              and %(left)s)""",
        many(MembershipRow),
    )
    def shown_to(self, user_id: UserID, left: bool) -> list[MembershipRow]:
        """The rooms of a local user; with ``left``, also those they left and did not forget."""

    @query(
        f"""select first.room_id, first.user_id, first.membership
            from unnest(%(rooms)s::text[]) as wanted (room)
            cross join lateral (
              (select room_id, user_id, membership, {ENTERED} as entered from memberships
               where room_id = wanted.room and membership = 'join' order by {ENTERED} limit %(limit)s)
              union all
              (select room_id, user_id, membership, {ENTERED} as entered from memberships
               where room_id = wanted.room and membership = 'invite' order by {ENTERED} limit %(limit)s)
            ) as first order by first.entered, first.user_id""",
        many(tuple[RoomID, UserID, str]),
    )
    def first_members(self, rooms: list[RoomID], limit: int) -> list[tuple[RoomID, UserID, str]]:
        """The first members and invited users of some rooms, of each kind at most ``limit`` a room."""

    @query(
        f"""select first.room_id, first.user_id, first.membership
            from unnest(%(rooms)s::text[]) as wanted (room)
            cross join lateral (
              select room_id, user_id, membership, {ENTERED} as entered from memberships
              where room_id = wanted.room and membership in ('leave', 'ban')
              order by membership, {ENTERED} limit %(limit)s
            ) as first order by first.entered, first.user_id""",
        many(tuple[RoomID, UserID, str]),
    )
    def first_gone(self, rooms: list[RoomID], limit: int) -> list[tuple[RoomID, UserID, str]]:
        """The first of those who left some rooms."""

    @query(
        """select user_id from memberships join users using (user_id)
           where room_id = %(room_id)s and membership = 'join' and local and is_guest""",
        many(UserID),
    )
    def joined_guests(self, room_id: RoomID) -> list[UserID]: ...

    @query(
        f"""select user_id from memberships where room_id = %(room_id)s and membership = 'join' and local
            order by {ENTERED} limit 1""",
        maybe(UserID),
    )
    def first_local_joined(self, room_id: RoomID) -> UserID | None: ...

    @query(
        """update memberships set forgotten = true where room_id = %(room_id)s and user_id = %(user_id)s
           and membership in ('leave', 'ban')""",
        affected,
    )
    def forget(self, room_id: RoomID, user_id: UserID) -> int: ...

    @query(
        """select pos, room_id, membership, event_nid, renewed from membership_changes
           where user_id = %(user_id)s and pos > %(since)s and pos <= %(upto)s order by pos""",
        many(MembershipChangeRow),
    )
    def changes(self, user_id: UserID, since: int, upto: int) -> list[MembershipChangeRow]: ...

    @query(
        """select pos, room_id, membership, event_nid, renewed from membership_changes
           where user_id = %(user_id)s and room_id = %(room_id)s and pos <= %(upto)s order by pos desc limit 1""",
        maybe(MembershipChangeRow),
    )
    def at(self, user_id: UserID, room_id: RoomID, upto: int) -> MembershipChangeRow | None: ...

    @query(
        """select pos, room_id, membership, event_nid, renewed from membership_changes
           where user_id = %(user_id)s and room_id = %(room_id)s
             and pos > (select max(pos) from membership_changes
                        where user_id = %(user_id)s and room_id = %(room_id)s and membership = 'join')
           order by pos limit 1""",
        maybe(MembershipChangeRow),
    )
    def last_leave(self, user_id: UserID, room_id: RoomID) -> MembershipChangeRow | None:
        """What ended the user's last stay in the room; None for who is in the room or never was."""

    @query(
        """select distinct server from memberships where room_id = %(room_id)s and membership = any(%(memberships)s)""",
        many(ServerName),
    )
    def servers(self, room_id: RoomID, memberships: list[str]) -> list[ServerName]: ...

    @query(
        """select distinct m.user_id, s.server from memberships m
           join room_servers s on s.room_id = m.room_id and s.joined_members > 0
           where m.user_id = any(%(user_ids)s) and m.membership = 'join' and m.local""",
        many(tuple[UserID, ServerName]),
    )
    def servers_around(self, user_ids: list[UserID]) -> list[tuple[UserID, ServerName]]:
        """The servers that share rooms with users of this one."""

    @query(
        """select distinct user_id from memberships
           where user_id = any(%(user_ids)s) and membership = 'join' and not local""",
        many(UserID),
    )
    def joined_strangers(self, user_ids: list[UserID]) -> list[UserID]:
        """Those of some users of other servers who are in rooms of ours."""

    @query(
        "select user_id from memberships where room_id = %(room_id)s and server = %(server)s",
        many(UserID),
    )
    def users_of_server(self, room_id: RoomID, server: ServerName) -> list[UserID]: ...

    @query(
        """select exists (select from memberships where room_id = %(room_id)s and server = %(server)s
                          and membership = 'join' and user_id <> %(without)s)""",
        one(bool),
    )
    def has_others(self, room_id: RoomID, server: ServerName, without: UserID) -> bool:
        """Whether a server has members in a room besides one."""


_SET = """membership = excluded.membership, event_nid = excluded.event_nid, sender = excluded.sender,
          entered_pos = case when memberships.membership = excluded.membership
                        then coalesce(memberships.entered_pos, memberships.pos) end,
          pos = excluded.pos,
          forgotten = excluded.forgotten, stripped_state = excluded.stripped_state, displayname = excluded.displayname,
          avatar_url = excluded.avatar_url"""

_ROW = (
    "room_id", "user_id", "server", "membership", "event_nid", "sender", "pos", "local", "stripped_state",
    "displayname", "avatar_url", "forgotten",
)  # fmt: skip
MEMBERSHIPS = bulk(
    "memberships", _ROW, f"on conflict (room_id, user_id) do update set {_SET}", refers=("pos",)
)
EARLIER_MEMBERSHIPS = bulk("memberships", _ROW, f"on conflict (room_id, user_id) do update set {_SET}")
"""Memberships from before this server was in the room: `pos` is one that has passed."""

MEMBERSHIPS_AHEAD = bulk("memberships", _ROW, "on conflict do nothing")
"""Of members who are not known to be ones yet: what is there already is newer."""
GONE_MEMBERSHIPS = bulk_delete("memberships", ("room_id", "user_id"))

MEMBERSHIP_CHANGES = bulk(
    "membership_changes", ("user_id", "pos", "room_id", "membership", "event_nid"), refers=("pos",)
)

LOCAL_MEMBERSHIP_CHANGES = bulk(
    "membership_changes", ("user_id", "room_id", "membership", "event_nid"), position="pos"
)
"""Changes that only this server knows of, such as the end of an invite that its room never heard of."""

RENEWED_MEMBERSHIPS = bulk(
    "membership_changes", ("user_id", "room_id", "membership", "event_nid", "renewed"), position="pos"
)
"""Of users who are in a room as before, but are to be shown it anew."""
