"""The directory of published rooms: their summaries, largest first."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomAlias, RoomID
from storage.query import Queries, many, one, query

_LISTED = """published and local_members > 0
      and not exists (select from blocked_rooms b where b.room_id = room_summaries.room_id)"""


class PublicRoomRow(Struct, frozen=True):
    """What the directory shows of a room."""

    room_id: RoomID
    name: str | None
    topic: str | None
    avatar_url: str | None
    canonical_alias: RoomAlias | None
    room_type: str | None
    join_rule: str | None
    history_visibility: str | None
    guest_access: str | None
    joined_members: int


_SELECT = f"""
    select room_id, name, topic, avatar_url, canonical_alias, room_type, join_rule, history_visibility,
    guest_access,
           joined_members
    from room_summaries
    where {_LISTED}
      and (%(pattern)s::text is null or name ilike %(pattern)s or topic ilike %(pattern)s
           or canonical_alias ilike %(pattern)s)
      and (%(any_type)s or room_type = any(%(types)s::text[]) or (%(untyped)s and room_type is null))
"""


class PublicRooms(Queries):
    """Reads the directory. `pattern` is one of ILIKE; a room's type must be one of `types`, none if
    `untyped`.
    """

    @query(
        _SELECT
        + """and (joined_members < %(members)s or (joined_members = %(members)s and room_id > %(room_id)s))
             order by joined_members desc, room_id limit %(limit)s""",
        many(PublicRoomRow),
    )
    def after(
        self,
        members: int,
        room_id: str,
        pattern: str | None,
        any_type: bool,
        types: list[str],
        untyped: bool,
        limit: int,
    ) -> list[PublicRoomRow]: ...

    @query(
        _SELECT
        + """and (joined_members > %(members)s or (joined_members = %(members)s and room_id < %(room_id)s))
             order by joined_members, room_id desc limit %(limit)s""",
        many(PublicRoomRow),
    )
    def before(
        self,
        members: int,
        room_id: str,
        pattern: str | None,
        any_type: bool,
        types: list[str],
        untyped: bool,
        limit: int,
    ) -> list[PublicRoomRow]: ...

    @query(f"select count(*) from room_summaries where {_LISTED}", one(int))
    def total(self) -> int: ...
