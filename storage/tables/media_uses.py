"""Events that show files, how far events were looked at, and users whose files are to go."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, MediaID, ServerName, UserID
from storage.query import Queries, affected, bulk, many, maybe, nothing, one, query

MEDIA_USES = bulk(
    "media_uses",
    ("media_id", "event_id", "sender", "origin"),
    "on conflict (media_id, event_id) do nothing",
)
"""``origin`` is empty for files of ours."""

ENDED_MEDIA_USES = bulk(
    "media_uses",
    ("media_id", "event_id", "sender", "origin", "gone_ts"),
    "on conflict (media_id, event_id) do update set gone_ts = coalesce(media_uses.gone_ts, excluded.gone_ts)",
)
"""Uses by events that are no more."""

_SHOWN = """exists (select from profiles p where p.avatar_url = 'mxc://' || m.origin || '/' || m.media_id)
            or exists (select from room_summaries r where r.avatar_url = 'mxc://' || m.origin || '/' || m.media_id)"""


class TellingRow(Struct, frozen=True):
    """An event that shows a file or redacts another event; `json` is the canonical PDU."""

    event_id: EventID
    sender: UserID
    type: str
    state_key: str | None
    json: str


class GoneRow(Struct, frozen=True):
    """A use that is no more: an event by `sender` showed a file."""

    media_id: MediaID
    sender: UserID
    origin: ServerName


class UnusedRow(Struct, frozen=True):
    """A file that nobody shows any more."""

    origin: ServerName
    media_id: MediaID
    sha256: str


class MediaUses(Queries):
    @query("select pos from media_uses_progress", one(int))
    def position(self) -> int: ...

    @query("update media_uses_progress set pos = %(pos)s where pos = %(was)s", affected)
    def advance(self, was: int, pos: int) -> int:
        """Move on, if nobody else did; keeps others from it until the transaction ends."""

    @query(
        """select event_id, sender, type, state_key, json from events
           where pos > %(after)s and pos <= %(upto)s and status = 0
             and (type = 'm.room.redaction' or position('mxc://' in json) > 0)
           order by pos""",
        many(TellingRow),
    )
    def between(self, after: int, upto: int) -> list[TellingRow]: ...

    @query(
        """update media_uses u set gone_ts = %(now)s from events e
           where u.event_id = any(%(event_ids)s) and u.gone_ts is null
             and e.event_id = u.event_id and e.redacted_by is not null""",
        nothing,
    )
    def gone(self, event_ids: list[str], now: int) -> None:
        """Note of events that they were redacted, if they were: not everybody may redact everything."""

    @query(
        """delete from media_uses where (media_id, event_id) in (
               select media_id, event_id from media_uses where gone_ts <= %(before)s
               order by gone_ts limit %(limit)s for update skip locked)
           returning media_id, sender, origin""",
        many(GoneRow),
    )
    def take_gone(self, before: int, limit: int) -> list[GoneRow]: ...

    @query(
        f"""select m.origin, m.media_id, m.sha256
           from unnest(%(media_ids)s::text[], %(senders)s::text[]) as gone (media_id, sender)
           join media m on m.origin = %(ours)s and m.media_id = gone.media_id
           join users owner on owner.user_id = m.user_id
           where (m.user_id = gone.sender or owner.erased)
             and m.sha256 is not null and m.quarantined_by is null and not m.protected
             and not exists (
               select from media_uses u
               where u.media_id = m.media_id and u.origin = '' and not (u.sender = m.user_id and owner.erased))
             and not ({_SHOWN})""",
        many(UnusedRow),
    )
    def unused(self, ours: ServerName, media_ids: list[str], senders: list[str]) -> list[UnusedRow]:
        """Those that whoever uploaded them also showed, and that nothing shows now.

        Of what others showed nothing is deleted: they could have anybody's file deleted by showing it once. But users
        who were erased need nothing any more, also not for their own events.
        """

    @query(
        """select m.origin, m.media_id, m.sha256
           from unnest(%(origins)s::text[], %(media_ids)s::text[]) as gone (origin, media_id)
           join media m using (origin, media_id)
           where m.user_id is null and m.sha256 is not null and m.quarantined_by is null
             and not exists (select from media_uses u where u.media_id = m.media_id and u.origin = m.origin)""",
        many(UnusedRow),
    )
    def unused_copies(self, origins: list[str], media_ids: list[str]) -> list[UnusedRow]:
        """Copies that nothing shows now."""


class MediaErasures(Queries):
    @query(
        """insert into media_erasures (user_id, erased_ts) values (%(user_id)s, %(now)s)
           on conflict (user_id) do nothing""",
        nothing,
    )
    def add(self, user_id: UserID, now: int) -> None:
        """Let a user's files go after a while."""

    @query(
        """select user_id from media_erasures where erased_ts <= %(before)s
           order by erased_ts limit 1 for update skip locked""",
        maybe(UserID),
    )
    def due(self, before: int) -> UserID | None: ...

    @query("delete from media_erasures where user_id = %(user_id)s", nothing)
    def done(self, user_id: UserID) -> None: ...

    @query(
        f"""select m.origin, m.media_id, m.sha256 from media m
           where m.user_id = %(user_id)s and m.sha256 is not null and m.quarantined_by is null and not m.protected
             and not exists (
               select from media_uses u
               where u.media_id = m.media_id and u.origin = '' and u.sender <> m.user_id)
             and not ({_SHOWN})
           limit %(limit)s""",
        many(UnusedRow),
    )
    def unused(self, user_id: UserID, limit: int) -> list[UnusedRow]:
        """Some of a user's files that nobody else shows."""
