"""The contents of media by their SHA-256, and thumbnails, which are contents made of others."""

from msgspec import Struct

from storage.query import Queries, affected, many, maybe, nothing, one, query


class Content(Struct, frozen=True):
    """Bytes that are kept, under the name `file`; unless it is `settled`, it may not be on the disk (yet)."""

    sha256: str
    size: int
    file: str
    settled: bool


class Thumbnail(Struct, frozen=True):
    """A thumbnail, or (`failure`, and no content) why there is none."""

    sha256: str | None
    size: int | None
    file: str | None
    content_type: str
    failure: str | None
    made_ts: int


class MediaContents(Queries):
    @query(
        "select sha256, size, file, settled from media_contents where sha256 = %(sha256)s for key share",
        maybe(Content),
    )
    def claim(self, sha256: str) -> Content | None:
        """Find bytes, and keep them from being deleted until the transaction ends."""

    @query("select sha256, size, file, settled from media_contents where sha256 = %(sha256)s", maybe(Content))
    def find(self, sha256: str) -> Content | None: ...

    @query(
        """insert into media_contents (sha256, size, file, created_ts, settled)
           values (%(sha256)s, %(size)s, %(file)s, %(now)s, %(settled)s) on conflict (sha256) do nothing""",
        affected,
    )
    def add(self, sha256: str, size: int, file: str, now: int, settled: bool) -> int: ...

    @query(
        "update media_contents set file = %(file)s, settled = true where sha256 = %(sha256)s and not settled",
        affected,
    )
    def take_over(self, sha256: str, file: str) -> int:
        """Have another file, which is on the disk, in place of one of which that is not known."""

    @query("update media_contents set settled = true where file = any(%(files)s) and not settled", nothing)
    def settle(self, files: list[str]) -> None: ...

    @query(
        """select sha256, size, file, settled from media_contents
           where not settled and created_ts < %(before)s order by created_ts limit %(limit)s""",
        many(Content),
    )
    def unsettled(self, before: int, limit: int) -> list[Content]: ...

    @query(
        """with unfinished as (
             select sha256 from media_contents
             where file = %(file)s and not settled and created_ts < %(before)s for update),
           nobodys as (delete from media m using unfinished u where m.sha256 = u.sha256)
           select sha256 from unfinished""",
        maybe(str),
    )
    def drop_addresses(self, file: str, before: int) -> str | None:
        """Forget the addresses of bytes that never came to the disk; the hash of these."""

    @query("set local synchronous_commit = off", nothing)
    def commit_lazily(self) -> None:
        """Do not wait for the disk: what a crash undoes is done again."""

    @query(
        """select sha256 from media_contents where suspect_since <= %(before)s
           order by suspect_since limit %(limit)s for update skip locked""",
        many(str),
    )
    def suspects(self, before: int, limit: int) -> list[str]:
        """Bytes that may have lost their last reference before a moment; nobody can refer to them meanwhile."""

    @query(
        """select c.sha256, c.size, c.file, c.settled from media_contents c
           where c.sha256 = any(%(hashes)s)
             and not exists (select from media m where m.sha256 = c.sha256)
             and not exists (select from media_thumbnails t where t.sha256 = c.sha256)""",
        many(Content),
    )
    def unused(self, hashes: list[str]) -> list[Content]: ...

    @query("update media_contents set suspect_since = null where sha256 = any(%(hashes)s)", nothing)
    def clear(self, hashes: list[str]) -> None: ...

    @query(
        """update media_contents c set suspect_since = %(now)s from media_thumbnails t
           where t.source = any(%(hashes)s) and c.sha256 = t.sha256""",
        nothing,
    )
    def suspect_thumbnails_of(self, hashes: list[str], now: int) -> None: ...

    @query("update media_contents set suspect_since = %(now)s where sha256 = any(%(hashes)s)", nothing)
    def suspect(self, hashes: list[str], now: int) -> None: ...

    @query("delete from media_contents where sha256 = any(%(hashes)s)", nothing)
    def delete(self, hashes: list[str]) -> None: ...

    @query(
        """select sha256, size, file, settled from media_contents
           where sha256 > %(after)s order by sha256 limit %(limit)s""",
        many(Content),
    )
    def page(self, after: str, limit: int) -> list[Content]: ...

    @query("select coalesce(sum(size), 0)::bigint from media_contents", one(int))
    def bytes_of_all(self) -> int: ...

    @query("select file from media_contents where file = any(%(files)s)", many(str))
    def known_files(self, files: list[str]) -> list[str]: ...


class MediaThumbnails(Queries):
    @query(
        """select t.sha256, c.size, c.file, t.content_type, t.failure, t.made_ts
           from media_thumbnails t left join media_contents c using (sha256)
           where t.source = %(source)s and t.width = %(width)s and t.height = %(height)s
             and t.method = %(method)s and t.animated = %(animated)s""",
        maybe(Thumbnail),
    )
    def find(self, source: str, width: int, height: int, method: str, animated: bool) -> Thumbnail | None: ...

    @query(
        """insert into media_thumbnails
               (source, width, height, method, animated, sha256, content_type, failure, made_ts)
           values (%(source)s, %(width)s, %(height)s, %(method)s, %(animated)s, %(sha256)s, %(content_type)s,
               %(failure)s, %(now)s)
           on conflict (source, width, height, method, animated) do update
               set sha256 = excluded.sha256, content_type = excluded.content_type, failure = excluded.failure,
                   made_ts = excluded.made_ts""",
        nothing,
    )
    def put(
        self,
        source: str,
        width: int,
        height: int,
        method: str,
        animated: bool,
        sha256: str | None,
        content_type: str,
        failure: str | None,
        now: int,
    ) -> None: ...
