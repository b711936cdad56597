"""Rooms that administrators delete, how far that has come, and rooms that they keep closed."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomAlias, RoomID, ServerName, UserID
from storage.query import Queries, affected, many, maybe, nothing, one, query

_COLUMNS = """delete_id, room_id, purge, force, new_room_user_id, new_room_name, message, stage, stage_ts,
              new_room_id, left_users, stayed_users, aliases, error"""


class Deletion(Struct, frozen=True):
    """The deletion of a room; `stage` is as in `services.rooms.deletion_steps`, at the end complete or failed."""

    delete_id: str
    room_id: RoomID
    purge: bool
    force: bool
    new_room_user_id: UserID | None
    new_room_name: str
    message: str
    stage: str
    stage_ts: int
    new_room_id: RoomID | None
    left_users: list[UserID]
    stayed_users: list[UserID]
    aliases: list[RoomAlias]
    error: str | None


class RoomDeletions(Queries):
    """Their records. Times are in milliseconds since the epoch."""

    @query(
        """insert into room_deletions (delete_id, room_id, requested_by, requested_ts, purge, force, new_room_user_id,
             new_room_name, message, stage, stage_ts)
           values (%(delete_id)s, %(room_id)s, %(by)s, %(now)s, %(purge)s, %(force)s, %(new_room_user_id)s,
             %(new_room_name)s, %(message)s, 'waiting', %(now)s)
           on conflict (room_id) where finished_ts is null do nothing""",
        affected,
    )
    def add(
        self,
        delete_id: str,
        room_id: RoomID,
        by: str,
        now: int,
        purge: bool,
        force: bool,
        new_room_user_id: UserID | None,
        new_room_name: str,
        message: str,
    ) -> int:
        """Note a new one; 0 if one of the room is under way."""

    @query(
        f"""select {_COLUMNS} from room_deletions where finished_ts is null
            order by requested_ts, delete_id limit 100""",
        many(Deletion),
    )
    def under_way(self) -> list[Deletion]: ...

    @query(
        f"""select {_COLUMNS} from room_deletions
            where finished_ts is null and stage in ('hiding', 'purging', 'forgetting')""",
        many(Deletion),
    )
    def vanishing(self) -> list[Deletion]:
        """Those whose rooms are not to be seen any more."""

    @query(f"select {_COLUMNS} from room_deletions where delete_id = %(delete_id)s", maybe(Deletion))
    def find(self, delete_id: str) -> Deletion | None: ...

    @query(
        f"select {_COLUMNS} from room_deletions where room_id = %(room_id)s order by requested_ts, delete_id",
        many(Deletion),
    )
    def of_room(self, room_id: RoomID) -> list[Deletion]: ...

    @query(
        """update room_deletions set stage = %(stage)s, stage_ts = %(now)s
           where delete_id = %(delete_id)s and finished_ts is null""",
        nothing,
    )
    def enter(self, delete_id: str, stage: str, now: int) -> None: ...

    @query(
        "update room_deletions set new_room_id = %(new_room_id)s where delete_id = %(delete_id)s",
        nothing,
    )
    def moved_to(self, delete_id: str, new_room_id: RoomID) -> None: ...

    @query(
        """update room_deletions set left_users = left_users || %(left)s::text[],
             stayed_users = stayed_users || %(stayed)s::text[] where delete_id = %(delete_id)s""",
        nothing,
    )
    def departed(self, delete_id: str, left: list[UserID], stayed: list[UserID]) -> None: ...

    @query(
        "update room_deletions set aliases = %(aliases)s::text[] where delete_id = %(delete_id)s",
        nothing,
    )
    def had_aliases(self, delete_id: str, aliases: list[RoomAlias]) -> None: ...

    @query(
        """update room_deletions set stage = %(stage)s, stage_ts = %(now)s, finished_ts = %(now)s, error = %(error)s
           where delete_id = %(delete_id)s""",
        nothing,
    )
    def finish(self, delete_id: str, stage: str, error: str | None, now: int) -> None: ...

    @query("delete from room_deletions where finished_ts <= %(before)s", nothing)
    def forget(self, before: int) -> None: ...

    @query(
        """select user_id, membership from memberships
           where room_id = %(room_id)s and local and membership in ('join', 'invite', 'knock')
             and user_id <> all(%(without)s::text[]) order by user_id limit %(limit)s""",
        many(tuple[UserID, str]),
    )
    def present(self, room_id: RoomID, without: list[UserID], limit: int) -> list[tuple[UserID, str]]:
        """Users of ours who are in a room, invited into it or knock at its door."""

    @query("delete from room_aliases where room_id = %(room_id)s returning alias", many(RoomAlias))
    def drop_aliases(self, room_id: RoomID) -> list[RoomAlias]: ...

    @query(
        "update room_aliases set room_id = %(new_room_id)s where room_id = %(room_id)s returning alias",
        many(RoomAlias),
    )
    def move_aliases(self, room_id: RoomID, new_room_id: RoomID) -> list[RoomAlias]: ...

    @query("update room_summaries set published = false where room_id = %(room_id)s and published", nothing)
    def unlist(self, room_id: RoomID) -> None: ...

    @query(
        """select exists (select from remote_joins where room_id = %(room_id)s and alive_until >= %(now)s)
             or exists (select from outside_memberships where room_id = %(room_id)s and leave_content is not null)
             or exists (
               select from rooms r join room_servers s using (room_id)
               where r.room_id = %(room_id)s and s.server <> %(own)s and (
                 (select pos from outbox_progress) < r.last_pos
                 or exists (select from outbox_lagging l where l.destination = s.server and l.pos < r.last_pos)))""",
        one(bool),
    )
    def unsettled(self, room_id: RoomID, own: ServerName, now: int) -> bool:
        """Whether other servers are still to hear how users of ours left, or somebody is just being brought in."""


class BlockedRooms(Queries):
    """Rooms that nobody may enter."""

    @query(
        """select exists (select from blocked_rooms where room_id = %(room_id)s)
             or exists (select from room_deletions where room_id = %(room_id)s and finished_ts is null)""",
        one(bool),
    )
    def is_closed(self, room_id: RoomID) -> bool:
        """Whether a room is blocked, or about to be deleted."""

    @query("select blocked_by from blocked_rooms where room_id = %(room_id)s", maybe(str))
    def blocked_by(self, room_id: RoomID) -> str | None: ...

    @query(
        """insert into blocked_rooms (room_id, blocked_by, blocked_ts) values (%(room_id)s, %(by)s, %(now)s)
           on conflict (room_id) do nothing""",
        nothing,
    )
    def add(self, room_id: RoomID, by: str, now: int) -> None: ...

    @query("delete from blocked_rooms where room_id = %(room_id)s", nothing)
    def remove(self, room_id: RoomID) -> None: ...
