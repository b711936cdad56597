"""What nobody gets: forbidden bytes, addresses in quarantine, and each change of that in order."""

from msgspec import Struct

from homeserver.protocol.identifiers import MediaID, ServerName, UserID
from storage.query import Queries, affected, many, nothing, one, query


class QuarantineChange(Struct, frozen=True):
    """An address that went into quarantine or came out of it."""

    number: int
    origin: ServerName
    media_id: MediaID
    quarantined: bool


class MediaQuarantine(Queries):
    @query("select pg_advisory_xact_lock(hashtextextended('media quarantine', 77))", nothing)
    def lock(self) -> None:
        """Let nobody else change it until the transaction ends: changes are numbered in the order of commits."""

    @query(
        "select sha256 from media_contents where sha256 = any(%(hashes)s) order by sha256 for update",
        many(str),
    )
    def lock_contents(self, hashes: list[str]) -> list[str]:
        """Let nobody give addresses to bytes until the transaction ends."""

    @query(
        """insert into media_forbidden (sha256, forbidden_by, since_ts)
           select sha256, %(by)s::text, %(now)s from unnest(%(hashes)s::text[]) as new (sha256)
           on conflict (sha256) do nothing""",
        nothing,
    )
    def forbid(self, hashes: list[str], by: str, now: int) -> None: ...

    @query("delete from media_forbidden where sha256 = any(%(hashes)s)", affected)
    def allow(self, hashes: list[str]) -> int: ...

    @query("select exists (select from media_forbidden where sha256 = %(sha256)s)", one(bool))
    def is_forbidden(self, sha256: str) -> bool: ...

    @query(
        """with changed as (
               update media set quarantined_by = %(by)s
               where sha256 = any(%(hashes)s) and quarantined_by is null and not protected
               returning origin, media_id)
           insert into media_quarantine_changes (origin, media_id, quarantined, changed_ts)
           select origin, media_id, true, %(now)s from changed""",
        affected,
    )
    def quarantine(self, hashes: list[str], by: str, now: int) -> int:
        """Keep all addresses of bytes from everybody, but for protected ones; how many those were."""

    @query(
        """with changed as (
               update media set quarantined_by = null
               where sha256 = any(%(hashes)s) and quarantined_by is not null returning origin, media_id)
           insert into media_quarantine_changes (origin, media_id, quarantined, changed_ts)
           select origin, media_id, false, %(now)s from changed""",
        affected,
    )
    def release(self, hashes: list[str], now: int) -> int: ...

    @query(
        """select distinct sha256 from media
           where user_id = %(user_id)s and sha256 > %(after)s and not protected and quarantined_by is null
           order by sha256 limit %(limit)s""",
        many(str),
    )
    def hashes_of_user(self, user_id: UserID, after: str, limit: int) -> list[str]:
        """Some of the bytes that a user brought and that may be quarantined, by hash."""

    @query(
        """select distinct m.sha256
           from unnest(%(origins)s::text[], %(media_ids)s::text[]) as named (origin, media_id)
           join media m using (origin, media_id)
           where m.sha256 is not null and not m.protected""",
        many(str),
    )
    def hashes_of(self, origins: list[str], media_ids: list[str]) -> list[str]:
        """The bytes that addresses name and that may be quarantined."""

    @query(
        """update media set protected = %(protected)s
           where origin = %(origin)s and media_id = %(media_id)s and sha256 is not null""",
        affected,
    )
    def protect(self, origin: ServerName, media_id: MediaID, protected: bool) -> int: ...

    @query(
        """select number, origin, media_id, quarantined from media_quarantine_changes
           where number > %(after)s order by number limit %(limit)s""",
        many(QuarantineChange),
    )
    def changes(self, after: int, limit: int) -> list[QuarantineChange]: ...
