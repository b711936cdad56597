"""Who is, was or may be in which room."""

from dataclasses import dataclass

from homeserver.protocol.identifiers import RoomID, ServerName, UserID
from storage.query import Queries, affected, bulk, many, maybe, query

_COLUMNS = """room_id, user_id, membership, event_nid, sender, pos, forgotten, stripped_state, displayname, avatar_url"""


@dataclass(frozen=True, slots=True)
class MembershipRow:
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


@dataclass(frozen=True, slots=True)
class MembershipChangeRow:
    pos: int
    room_id: RoomID
    membership: str
    event_nid: int


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
            where room_id = %(room_id)s and membership = any(%(memberships)s) order by pos, user_id""",
        many(MembershipRow),
    )
    def of_room(self, room_id: RoomID, memberships: list[str]) -> list[MembershipRow]: ...

    @query(
        f"""select {_COLUMNS} from memberships
            where room_id = %(room_id)s and membership = any(%(memberships)s) and user_id <> %(without)s
            order by pos, user_id limit %(limit)s""",
        many(MembershipRow),
    )
    def first_of_room(
        self, room_id: RoomID, memberships: list[str], without: UserID, limit: int
    ) -> list[MembershipRow]: ...

    @query(
        "select user_id from memberships where room_id = %(room_id)s and membership = 'join' and local",
        many(UserID),
    )
    def local_joined(self, room_id: RoomID) -> list[UserID]: ...

    @query(
        """update memberships set forgotten = true where room_id = %(room_id)s and user_id = %(user_id)s
           and membership in ('leave', 'ban')""",
        affected,
    )
    def forget(self, room_id: RoomID, user_id: UserID) -> int: ...

    @query(
        """select pos, room_id, membership, event_nid from membership_changes
           where user_id = %(user_id)s and pos > %(since)s and pos <= %(upto)s order by pos""",
        many(MembershipChangeRow),
    )
    def changes(self, user_id: UserID, since: int, upto: int) -> list[MembershipChangeRow]: ...

    @query(
        """select pos, room_id, membership, event_nid from membership_changes
           where user_id = %(user_id)s and room_id = %(room_id)s and pos <= %(upto)s order by pos desc limit 1""",
        maybe(MembershipChangeRow),
    )
    def at(self, user_id: UserID, room_id: RoomID, upto: int) -> MembershipChangeRow | None: ...

    @query(
        """select pos, room_id, membership, event_nid from membership_changes
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


_SET = """membership = excluded.membership, event_nid = excluded.event_nid, sender = excluded.sender, pos = excluded.pos,
          forgotten = false, stripped_state = excluded.stripped_state, displayname = excluded.displayname,
          avatar_url = excluded.avatar_url"""

MEMBERSHIPS = bulk(
    "memberships",
    (
        "room_id", "user_id", "server", "membership", "event_nid", "sender", "pos", "local", "stripped_state",
        "displayname", "avatar_url",
    ),
    f"on conflict (room_id, user_id) do update set {_SET}",
    refers=("pos",),
)  # fmt: skip
MEMBERSHIP_CHANGES = bulk(
    "membership_changes", ("user_id", "pos", "room_id", "membership", "event_nid"), refers=("pos",)
)

LOCAL_MEMBERSHIP_CHANGES = bulk(
    "membership_changes", ("user_id", "room_id", "membership", "event_nid"), position="pos"
)
"""Changes that only this server knows of, such as the end of an invite that its room never heard of."""
