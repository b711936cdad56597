"""Previews of pages."""

from msgspec import Struct

from homeserver.protocol.identifiers import MediaID, ServerName
from storage.query import Queries, many, maybe, nothing, query


class UrlPreview(Struct, frozen=True):
    """What is told of a page, as JSON; empty when there is nothing to tell."""

    answer: str
    expires_ts: int


class UrlPreviews(Queries):
    @query("select answer, expires_ts from url_previews where url = %(url)s", maybe(UrlPreview))
    def find(self, url: str) -> UrlPreview | None: ...

    @query(
        """insert into url_previews (url, answer, media_id, expires_ts)
           values (%(url)s, %(answer)s, %(media_id)s, %(expires_ts)s)
           on conflict (url) do update
               set answer = excluded.answer, media_id = excluded.media_id, expires_ts = excluded.expires_ts""",
        nothing,
    )
    def put(self, url: str, answer: str, media_id: MediaID | None, expires_ts: int) -> None: ...

    @query(
        "select media_id from url_previews where url = %(url)s and media_id is not null for update",
        many(MediaID),
    )
    def pictures_of(self, url: str) -> list[MediaID]: ...

    @query(
        """delete from url_previews where url in (
               select url from url_previews where expires_ts <= %(now)s limit %(limit)s for update skip locked)
           returning coalesce(media_id, '')""",
        many(MediaID),
    )
    def expire(self, now: int, limit: int) -> list[MediaID]:
        """Forget old previews; the pictures that they had, or empty names."""

    @query(
        """delete from media where origin = %(origin)s and media_id = any(%(media_ids)s) and user_id is null
           returning sha256""",
        many(str),
    )
    def delete_pictures(self, origin: ServerName, media_ids: list[MediaID]) -> list[str]:
        """Forget pictures; the hashes of their contents."""
