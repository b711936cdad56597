"""Sessions of user-interactive authentication."""

from msgspec import Struct

from homeserver.protocol.identifiers import UserID
from storage.query import Queries, affected, maybe, nothing, query


class StoredSession(Struct, frozen=True):
    """A session as it is kept: `body` is sealed, `completed` is JSON."""

    user_id: UserID | None
    method: str
    path: str
    body: bytes
    completed: bytes
    result: UserID | None


class UiAuthSessions(Queries):
    """Reads and writes sessions. Those created before `since` (milliseconds) have expired."""

    @query(
        """insert into ui_auth_sessions (id_hash, user_id, method, path, body, completed, created_ts)
           values (%(id_hash)s, %(user_id)s, %(method)s, %(path)s, %(body)s, %(completed)s, %(created_ts)s)""",
        nothing,
    )
    def create(
        self,
        id_hash: bytes,
        user_id: UserID | None,
        method: str,
        path: str,
        body: bytes,
        completed: bytes,
        created_ts: int,
    ) -> None: ...

    @query(
        """select user_id, method, path, body, completed, result from ui_auth_sessions
           where id_hash = %(id_hash)s and created_ts >= %(since)s""",
        maybe(StoredSession),
    )
    def session(self, id_hash: bytes, since: int) -> StoredSession | None: ...

    @query(
        """update ui_auth_sessions set body = %(body)s, completed = %(completed)s
           where id_hash = %(id_hash)s and result is null""",
        affected,
    )
    def update(self, id_hash: bytes, body: bytes, completed: bytes) -> int: ...

    @query("delete from ui_auth_sessions where id_hash = %(id_hash)s", affected)
    def consume(self, id_hash: bytes) -> int: ...

    @query(
        "update ui_auth_sessions set result = %(result)s where id_hash = %(id_hash)s and result is null",
        affected,
    )
    def finish(self, id_hash: bytes, result: UserID) -> int: ...

    @query("delete from ui_auth_sessions where created_ts < %(before)s", affected)
    def expire(self, before: int) -> int: ...
