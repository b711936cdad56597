"""Rooms: heads, summaries, aliases and the servers that take part."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomAlias, RoomID, ServerName, UserID
from storage.query import Queries, affected, bulk, each, many, maybe, nothing, query

_SUMMARY = """name, topic, avatar_url, canonical_alias, room_type, join_rule, history_visibility, guest_access,
              encryption, joined_members, invited_members, local_members"""


class RoomRow(Struct, frozen=True):
    """`extremities` are packed int64 event numbers."""

    room_version: str
    version: int
    state: int
    extremities: bytes
    last_pos: int
    partial: bool


class SummaryRow(Struct, frozen=True):
    """The columns of a summary, in the order of `RoomSummary`."""

    name: str | None
    topic: str | None
    avatar_url: str | None
    canonical_alias: str | None
    room_type: str | None
    join_rule: str | None
    history_visibility: str | None
    guest_access: str | None
    encryption: str | None
    joined_members: int
    invited_members: int
    local_members: int


class MemberCounts(Struct, frozen=True):
    room_id: RoomID
    name: str | None
    canonical_alias: str | None
    joined_members: int
    invited_members: int


class AliasRow(Struct, frozen=True):
    alias: RoomAlias
    room_id: RoomID
    creator: UserID


class Rooms(Queries):
    @query(
        """select room_version, version, state, extremities, last_pos,
             exists (select from partial_rooms partial where partial.room_id = rooms.room_id) as partial
           from rooms where room_id = %(room_id)s""",
        maybe(RoomRow),
    )
    def head(self, room_id: RoomID) -> RoomRow | None: ...

    @query(f"select {_SUMMARY} from room_summaries where room_id = %(room_id)s", maybe(SummaryRow))
    def summary(self, room_id: RoomID) -> SummaryRow | None: ...

    @query(
        """select room_id, name, canonical_alias, joined_members, invited_members
           from room_summaries where room_id = any(%(rooms)s)""",
        many(MemberCounts),
    )
    def member_counts(self, rooms: list[RoomID]) -> list[MemberCounts]: ...

    @query(
        """select room_id from rooms where room_id = any(%(rooms)s) and last_pos > %(since)s
           union
           select room_id from receipts where room_id = any(%(rooms)s) and pos > %(since)s""",
        many(RoomID),
    )
    def changed_or_read_since(self, rooms: list[RoomID], since: int) -> list[RoomID]:
        """Those of some rooms in which something happened, or somebody read, after a position."""

    @query(
        "select room_id from rooms where room_id = any(%(room_ids)s) and last_pos > %(since)s",
        many(RoomID),
    )
    def changed_since(self, room_ids: list[RoomID], since: int) -> list[RoomID]: ...

    @query(
        "select server from room_servers where room_id = %(room_id)s and joined_members > 0",
        many(ServerName),
    )
    def servers(self, room_id: RoomID) -> list[ServerName]: ...

    @query(
        """select true from room_servers
           where room_id = %(room_id)s and server = %(server)s and joined_members > 0""",
        maybe(bool),
    )
    def has_server(self, room_id: RoomID, server: ServerName) -> bool | None: ...

    @query("update room_summaries set published = %(published)s where room_id = %(room_id)s", affected)
    def publish(self, room_id: RoomID, published: bool) -> int: ...

    @query("select room_id from room_summaries where room_id = any(%(rooms)s) and published", many(RoomID))
    def published_among(self, rooms: list[RoomID]) -> list[RoomID]: ...

    @query("select published from room_summaries where room_id = %(room_id)s", maybe(bool))
    def published(self, room_id: RoomID) -> bool | None: ...


class Aliases(Queries):
    @query("select alias, room_id, creator from room_aliases where alias = %(alias)s", maybe(AliasRow))
    def find(self, alias: RoomAlias) -> AliasRow | None: ...

    @query(
        "select alias, room_id, creator from room_aliases where room_id = %(room_id)s order by alias",
        many(AliasRow),
    )
    def of_room(self, room_id: RoomID) -> list[AliasRow]: ...

    @query(
        """insert into room_aliases (alias, room_id, creator) values (%(alias)s, %(room_id)s, %(creator)s)
           on conflict (alias) do nothing""",
        affected,
    )
    def add(self, alias: RoomAlias, room_id: RoomID, creator: UserID) -> int: ...

    @query("delete from room_aliases where alias = %(alias)s", nothing)
    def remove(self, alias: RoomAlias) -> None: ...


_HEAD = ("room_id", "room_version", "version", "state", "extremities", "depth", "last_pos")
_NEXT_HEAD = """on conflict (room_id) do update set state = excluded.state, extremities = excluded.extremities,
                depth = excluded.depth"""

_BUMPED = (*_HEAD, "bump_pos")

NEW_ROOMS = bulk("rooms", _HEAD, refers=("last_pos",))
NEW_BUMPED_ROOMS = bulk("rooms", _BUMPED, refers=("last_pos", "bump_pos"))
"""The first head of a room, which fails if another node was quicker."""

ROOMS = bulk("rooms", _HEAD, f"{_NEXT_HEAD}, last_pos = excluded.last_pos", refers=("last_pos",))
"""A room's next head, when the write has an event with a position. Its version is the business of the write's guard."""

BUMPED_ROOMS = bulk(
    "rooms",
    _BUMPED,
    f"{_NEXT_HEAD}, last_pos = excluded.last_pos, bump_pos = excluded.bump_pos",
    refers=("last_pos", "bump_pos"),
)
"""The same when something was said that moves the room up in lists."""

QUIET_ROOMS = bulk("rooms", _HEAD, _NEXT_HEAD)
"""The same for a write that shows clients nothing new."""

SUMMARIES = bulk(
    "room_summaries",
    ("room_id", *(name.strip() for name in _SUMMARY.split(","))),
    "on conflict (room_id) do update set "
    + ", ".join(f"{name.strip()} = excluded.{name.strip()}" for name in _SUMMARY.split(",")),
)

_COUNTED = ("room_id", "server", "joined_members", "joined_pos")
_ADDED = """on conflict (room_id, server) do update set
         joined_members = room_servers.joined_members + excluded.joined_members,
         joined_pos = case when room_servers.joined_members = 0 then excluded.joined_pos
                           else room_servers.joined_pos end,
         left_pos = case when room_servers.joined_members + excluded.joined_members = 0 then excluded.joined_pos
                         end"""
ROOM_SERVERS = bulk("room_servers", _COUNTED, _ADDED, refers=("joined_pos",))
"""Adds `joined_members` (negative: takes away); `joined_pos` is when it happened, be it a join or a leave."""

EARLIER_ROOM_SERVERS = bulk("room_servers", _COUNTED, _ADDED)
"""The same of what happened at a position that has passed."""

NEW_ALIASES = bulk("room_aliases", ("alias", "room_id", "creator"))
PUBLISHED_ROOMS = each(
    "update room_summaries set published = true where room_id = %(room_id)s", ("room_id",), rank=1
)
"""Lists new rooms in the directory."""
