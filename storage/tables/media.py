"""What is known of each `mxc://` address: ours, and those of other servers whose content was fetched."""

from msgspec import Struct

from homeserver.protocol.identifiers import MediaID, ServerName, UserID
from storage.query import Queries, affected, many, maybe, nothing, one, query


class Media(Struct, frozen=True):
    """One address with its content; without `sha256` the content is to be uploaded until `expires_ts`.

    Times are milliseconds since the epoch. `created_ts` is when the content came to this server; what is `protected`
    stays out of quarantine.
    """

    origin: ServerName
    media_id: MediaID
    sha256: str | None
    size: int | None
    file: str | None
    user_id: UserID | None
    content_type: str
    filename: str | None
    created_ts: int
    expires_ts: int | None
    last_used_ts: int
    quarantined_by: str | None
    protected: bool


class Pending(Struct, frozen=True):
    """How many addresses of a user wait for their content, and when the first of them expires."""

    number: int
    first_expires_ts: int | None


class Copy(Struct, frozen=True):
    """A copy of another server's content."""

    origin: ServerName
    media_id: MediaID
    sha256: str
    size: int


class Own(Struct, frozen=True):
    """An address of ours and its bytes."""

    media_id: MediaID
    sha256: str


class MediaRows(Queries):
    @query(
        """select m.origin, m.media_id, m.sha256, c.size, c.file, m.user_id, m.content_type, m.filename, m.created_ts,
               m.expires_ts, m.last_used_ts, m.quarantined_by, m.protected
           from media m left join media_contents c using (sha256)
           where m.origin = %(origin)s and m.media_id = %(media_id)s""",
        maybe(Media),
    )
    def find(self, origin: ServerName, media_id: MediaID) -> Media | None: ...

    @query(
        """insert into media (origin, media_id, sha256, user_id, content_type, filename, created_ts, last_used_ts,
               quarantined_by)
           values (%(origin)s, %(media_id)s, %(sha256)s, %(user_id)s, %(content_type)s, %(filename)s, %(now)s, %(now)s,
               (select forbidden_by from media_forbidden where sha256 = %(sha256)s))
           on conflict (origin, media_id) do nothing""",
        affected,
    )
    def add(
        self,
        origin: ServerName,
        media_id: MediaID,
        sha256: str,
        user_id: UserID | None,
        content_type: str,
        filename: str | None,
        now: int,
    ) -> int:
        """Note an address; in quarantine when its bytes are forbidden."""

    @query(
        """insert into media (origin, media_id, sha256, user_id, content_type, filename, created_ts, last_used_ts)
           select %(origin)s, %(media_id)s, %(sha256)s, %(user_id)s, %(content_type)s, %(filename)s, %(now)s, %(now)s
           where not exists (select from media_forbidden where sha256 = %(sha256)s)""",
        affected,
    )
    def add_allowed(
        self,
        origin: ServerName,
        media_id: MediaID,
        sha256: str,
        user_id: UserID,
        content_type: str,
        filename: str | None,
        now: int,
    ) -> int:
        """Note an address of ours; 0 if its bytes are forbidden."""

    @query(
        """insert into media (origin, media_id, user_id, content_type, created_ts, expires_ts, last_used_ts)
           values (%(origin)s, %(media_id)s, %(user_id)s, '', %(now)s, %(expires_ts)s, %(now)s)""",
        nothing,
    )
    def reserve(
        self, origin: ServerName, media_id: MediaID, user_id: UserID, now: int, expires_ts: int
    ) -> None: ...

    @query(
        """update media set sha256 = %(sha256)s, content_type = %(content_type)s, filename = %(filename)s,
               created_ts = %(now)s, last_used_ts = %(now)s, expires_ts = null
           where origin = %(origin)s and media_id = %(media_id)s and sha256 is null""",
        affected,
    )
    def fill(
        self,
        origin: ServerName,
        media_id: MediaID,
        sha256: str,
        content_type: str,
        filename: str | None,
        now: int,
    ) -> int: ...

    @query(
        """select count(*), min(expires_ts) from media
           where user_id = %(user_id)s and sha256 is null and expires_ts > %(now)s""",
        maybe(Pending),
    )
    def pending(self, user_id: UserID, now: int) -> Pending | None: ...

    @query("select pg_advisory_xact_lock(hashtextextended(%(user_id)s, 60))", nothing)
    def lock_uploads(self, user_id: UserID) -> None:
        """Let nobody else count this user's uploads until the transaction ends."""

    @query(
        """select coalesce(sum(c.size), 0)::bigint from media m join media_contents c using (sha256)
           where m.user_id = %(user_id)s""",
        one(int),
    )
    def bytes_of_user(self, user_id: UserID) -> int: ...

    @query(
        """select coalesce(sum(c.size), 0)::bigint from media m join media_contents c using (sha256)
           where m.user_id is null and m.origin <> %(ours)s""",
        one(int),
    )
    def bytes_of_copies(self, ours: ServerName) -> int:
        """How many bytes copies of other servers' content take (those that are the same counted each)."""

    @query(
        """select m.origin, m.media_id, m.sha256, c.size from media m join media_contents c using (sha256)
           where m.user_id is null and m.origin <> %(ours)s and m.last_used_ts < %(before)s
             and m.quarantined_by is null
           order by m.last_used_ts limit %(limit)s for update of m skip locked""",
        many(Copy),
    )
    def least_used(self, ours: ServerName, before: int, limit: int) -> list[Copy]:
        """Copies that were not used since a moment, the least recently used first."""

    @query("delete from media where origin = %(origin)s and media_id = %(media_id)s", affected)
    def delete(self, origin: ServerName, media_id: MediaID) -> int: ...

    @query(
        """delete from media where origin = %(ours)s and media_id = any(%(media_ids)s) and sha256 is not null
           returning media_id, sha256""",
        many(Own),
    )
    def delete_ours(self, ours: ServerName, media_ids: list[MediaID]) -> list[Own]: ...

    @query("delete from media where sha256 is null and expires_ts <= %(now)s", affected)
    def expire(self, now: int) -> int:
        """Forget the addresses that waited for their content for too long."""

    @query(
        """update media set last_used_ts = %(now)s
           where origin = %(origin)s and media_id = %(media_id)s and last_used_ts < %(now)s""",
        nothing,
    )
    def used(self, origin: ServerName, media_id: MediaID, now: int) -> None: ...
