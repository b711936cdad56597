"""Events that show our users' files, and how far events were looked at."""

from dataclasses import dataclass

from homeserver.protocol.identifiers import EventID, ServerName, UserID
from storage.query import Queries, affected, bulk, many, nothing, one, query

MEDIA_USES = bulk(
    "media_uses", ("media_id", "event_id", "sender"), "on conflict (media_id, event_id) do nothing"
)


@dataclass(frozen=True, slots=True)
class TellingRow:
    """An event that shows a file or redacts another event; `json` is the canonical PDU."""

    event_id: EventID
    sender: UserID
    type: str
    json: str


@dataclass(frozen=True, slots=True)
class UnusedRow:
    """A file of ours that nobody shows any more."""

    media_id: str
    sha256: str


class MediaUses(Queries):
    @query("select pos from media_uses_progress", one(int))
    def position(self) -> int: ...

    @query("update media_uses_progress set pos = %(pos)s where pos = %(was)s", affected)
    def advance(self, was: int, pos: int) -> int:
        """Move on, if nobody else did; keeps others from it until the transaction ends."""

    @query(
        """select event_id, sender, type, json from events
           where pos > %(after)s and pos <= %(upto)s and status = 0
             and (type = 'm.room.redaction' or position(%(scheme)s in json) > 0)
           order by pos""",
        many(TellingRow),
    )
    def between(self, after: int, upto: int, scheme: str) -> list[TellingRow]: ...

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
           returning media_id, sender""",
        many(tuple[str, str]),
    )
    def take_gone(self, before: int, limit: int) -> list[tuple[str, str]]: ...

    @query(
        """select m.media_id, m.sha256
           from unnest(%(media_ids)s::text[], %(senders)s::text[]) as gone (media_id, sender)
           join media m on m.origin = %(ours)s and m.media_id = gone.media_id and m.user_id = gone.sender
           where m.sha256 is not null and m.quarantined_by is null
             and not exists (select from media_uses u where u.media_id = m.media_id)
             and not exists (
               select from profiles p where p.avatar_url = 'mxc://' || m.origin || '/' || m.media_id)""",
        many(UnusedRow),
    )
    def unused(self, ours: ServerName, media_ids: list[str], senders: list[str]) -> list[UnusedRow]:
        """Those that whoever uploaded them also showed, and that nothing shows now.

        Of what others showed nothing is deleted: they could have anybody's file deleted by showing it once.
        """
