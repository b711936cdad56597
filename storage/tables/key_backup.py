"""Backups of room keys."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, UserID
from storage.query import Queries, affected, many, maybe, nothing, one, query


class Backup(Struct, frozen=True):
    """A version of a backup; `auth_data` is JSON."""

    version: int
    algorithm: str
    auth_data: str
    etag: int
    session_count: int


class BackedUp(Struct, frozen=True):
    """A session in a backup; `session_data` is JSON."""

    room_id: RoomID
    session_id: str
    first_message_index: int
    forwarded_count: int
    is_verified: bool
    session_data: str


_LAST = "\U0010ffff" * 64
"""Behind all IDs."""


def span(name: str) -> tuple[str, str]:
    """The first and the last ID of one, or of all if it is empty. That PostgreSQL finds in an index; it does not find
    "this one, or any if there is none".
    """
    return (name, name) if name else ("", _LAST)


_BACKUP = "version, algorithm, auth_data, etag, session_count"


class KeyBackups(Queries):
    """Reads and writes backups."""

    @query(
        f"""select {_BACKUP} from key_backups where user_id = %(user_id)s and not deleted
            order by version desc limit 1""",
        maybe(Backup),
    )
    def current(self, user_id: UserID) -> Backup | None: ...

    @query(
        f"""select {_BACKUP} from key_backups where user_id = %(user_id)s and version = %(version)s
            and not deleted""",
        maybe(Backup),
    )
    def version(self, user_id: UserID, version: int) -> Backup | None: ...

    @query(
        f"""select {_BACKUP} from key_backups where user_id = %(user_id)s and not deleted
            order by version desc limit 1 for update""",
        maybe(Backup),
    )
    def lock_current(self, user_id: UserID) -> Backup | None: ...

    @query(
        """insert into key_backups (user_id, version, algorithm, auth_data)
           select %(user_id)s, coalesce(max(version), 0) + 1, %(algorithm)s, %(auth_data)s
           from key_backups where user_id = %(user_id)s returning version""",
        one(int),
    )
    def create(self, user_id: UserID, algorithm: str, auth_data: str) -> int: ...

    @query(
        """update key_backups set auth_data = %(auth_data)s
           where user_id = %(user_id)s and version = %(version)s""",
        affected,
    )
    def put_auth_data(self, user_id: UserID, version: int, auth_data: str) -> int: ...

    @query(
        """with sessions as (delete from key_backup_sessions where user_id = %(user_id)s and version = %(version)s)
           update key_backups set deleted = true, session_count = 0
           where user_id = %(user_id)s and version = %(version)s and not deleted""",
        affected,
    )
    def delete(self, user_id: UserID, version: int) -> int: ...

    @query(
        """insert into key_backup_sessions as s (user_id, version, room_id, session_id, first_message_index,
             forwarded_count, is_verified, session_data)
           select %(user_id)s, %(version)s, new.* from unnest(%(rooms)s::text[], %(sessions)s::text[],
             %(indices)s::bigint[], %(forwards)s::bigint[], %(verified)s::boolean[], %(data)s::text[]) as new
           on conflict (user_id, version, room_id, session_id) do update
           set first_message_index = excluded.first_message_index, forwarded_count = excluded.forwarded_count,
             is_verified = excluded.is_verified, session_data = excluded.session_data
           where (not excluded.is_verified, excluded.first_message_index, excluded.forwarded_count)
             < (not s.is_verified, s.first_message_index, s.forwarded_count)
           returning xmax = 0""",
        many(bool),
    )
    def put(
        self,
        user_id: UserID,
        version: int,
        rooms: list[RoomID],
        sessions: list[str],
        indices: list[int],
        forwards: list[int],
        verified: list[bool],
        data: list[str],
    ) -> list[bool]:
        """Put sessions where there are none or worse ones; for each that changed something, whether it is new.

        "If the key already exists, the server must decide which is better": one that is verified, then one
        with the lower first message index, then one that was forwarded less often.
        """

    @query(
        """select room_id, session_id, first_message_index, forwarded_count, is_verified, session_data
           from key_backup_sessions where user_id = %(user_id)s and version = %(version)s
             and room_id between %(first_room)s and %(last_room)s
             and session_id between %(first_session)s and %(last_session)s
             and (room_id, session_id) > (%(after_room)s, %(after_session)s)
           order by room_id, session_id limit %(limit)s""",
        many(BackedUp),
    )
    def sessions(
        self,
        user_id: UserID,
        version: int,
        first_room: str,
        last_room: str,
        first_session: str,
        last_session: str,
        after_room: str,
        after_session: str,
        limit: int,
    ) -> list[BackedUp]:
        """The sessions of a backup behind one of them, in spans of rooms and sessions (see `span`)."""

    @query(
        """delete from key_backup_sessions where user_id = %(user_id)s and version = %(version)s
             and room_id between %(first_room)s and %(last_room)s
             and session_id between %(first_session)s and %(last_session)s""",
        affected,
    )
    def remove(
        self,
        user_id: UserID,
        version: int,
        first_room: str,
        last_room: str,
        first_session: str,
        last_session: str,
    ) -> int: ...

    @query(
        """update key_backups set etag = etag + 1, session_count = session_count + %(more)s
           where user_id = %(user_id)s and version = %(version)s returning etag, session_count""",
        one(tuple[int, int]),
    )
    def count(self, user_id: UserID, version: int, more: int) -> tuple[int, int]: ...

    @query("select version from key_backups where user_id = %(user_id)s for update", many(int))
    def lock_all(self, user_id: UserID) -> list[int]:
        """Wait for those who add sessions; the versions, deleted ones too."""

    @query(
        """with s as (delete from key_backup_sessions where user_id = %(user_id)s)
           delete from key_backups where user_id = %(user_id)s""",
        nothing,
    )
    def delete_all(self, user_id: UserID) -> None: ...
