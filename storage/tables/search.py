"""The index of messages, and how far it has come."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from storage.query import Queries, affected, bulk, bulk_delete, many, maybe, nothing, one, query

SEARCHED_TYPES = frozenset(("m.room.message", "m.room.name", "m.room.topic"))
_SEARCHABLE = "('m.room.message', 'm.room.name', 'm.room.topic')"


class UnindexedRow(Struct, frozen=True):
    """An event to be indexed; `json` is the canonical PDU."""

    nid: int
    pos: int | None
    room_id: RoomID
    sender: UserID
    type: str
    ts: int
    json: str


class MatchRow(Struct, frozen=True):
    """A found version of a message. `rank` is a millionth of what clients see."""

    nid: int
    rank: int
    ts: int
    replaces: EventID | None


class SpanRow(Struct, frozen=True):
    """The positions that the index has not come to, and whether it has a backlog."""

    after: int
    upto: int
    backlog: bool


class VersionRow(Struct, frozen=True):
    replaces: EventID
    nid: int


class SearchedRoomRow(Struct, frozen=True):
    room_id: RoomID
    membership: str


_UNINDEXED = """nid, pos, room_id, sender, type, least(origin_server_ts, received_ts) as ts, json"""

_FOUND = """from message_search s
    join unnest(%(rooms)s::text[], %(uptos)s::bigint[]) as open (room_id, upto)
      on open.room_id = s.room_id and coalesce(s.pos, 0) <= open.upto
    where s.pieces @> %(pieces)s::int[]
      and (%(room_pieces)s::int[] is null or s.pieces && %(room_pieces)s::int[])
      and s.words like all(%(patterns)s::text[]) and s.type = any(%(types)s)
      and (%(senders)s::text[] is null or s.sender = any(%(senders)s)) and s.sender <> all(%(not_senders)s::text[])
      and (s.ts, s.nid) <= (%(top_ts)s, %(top_nid)s)"""

# A whole word counts three, the beginning of one two, anything else one; a short text more than a long one.
_RANK = """(1000000 * (select avg(case when s.words like '%% ' || word || ' %%' then 3
                                       when s.words like '%% ' || word || '%%' then 2 else 1 end)
                       from unnest(%(words)s::text[]) word)
            / (3 * (1 + ln(length(s.words)))))::bigint"""


class MessageSearch(Queries):
    @query(
        f"""select s.nid, 0::bigint as rank, s.ts, s.replaces {_FOUND} and (s.ts, s.nid) < (%(ts)s, %(nid)s)
            order by s.ts desc, s.nid desc limit %(limit)s""",
        many(MatchRow),
        planned_anew=True,
    )
    def recent(
        self,
        rooms: list[RoomID],
        uptos: list[int],
        room_pieces: list[int] | None,
        pieces: list[int],
        patterns: list[str],
        types: list[str],
        senders: list[UserID] | None,
        not_senders: list[UserID],
        top_ts: int,
        top_nid: int,
        ts: int,
        nid: int,
        limit: int,
    ) -> list[MatchRow]:
        """The next matches in rooms, of each up to a position, from a place on, the latest first."""

    @query(
        f"""select nid, rank, ts, replaces from (
              select s.nid, {_RANK} as rank, s.ts, s.replaces {_FOUND}
              order by s.ts desc, s.nid desc limit %(ranked)s) as ranked
            where (rank, ts, nid) < (%(rank)s, %(ts)s, %(nid)s)
            order by rank desc, ts desc, nid desc limit %(limit)s""",
        many(MatchRow),
        planned_anew=True,
    )
    def best(
        self,
        rooms: list[RoomID],
        uptos: list[int],
        room_pieces: list[int] | None,
        pieces: list[int],
        patterns: list[str],
        types: list[str],
        senders: list[UserID] | None,
        not_senders: list[UserID],
        top_ts: int,
        top_nid: int,
        ts: int,
        nid: int,
        limit: int,
        rank: int,
        words: list[str],
        ranked: int,
    ) -> list[MatchRow]:
        """The same, the best first, of the latest ``ranked``."""

    @query("select ts, nid from message_search order by ts desc, nid desc limit 1", maybe(tuple[int, int]))
    def latest(self) -> tuple[int, int] | None:
        """The place of the latest message."""

    @query(
        "select replaces, nid from message_search where replaces = any(%(event_ids)s)",
        many(VersionRow),
    )
    def versions(self, event_ids: list[EventID]) -> list[VersionRow]:
        """The newer versions of some messages, whoever wrote them."""


class MessageSearchProgress(Queries):
    @query("select pos from message_search_progress", one(int))
    def position(self) -> int: ...

    @query(
        "update message_search_progress set pos = %(pos)s where pos = %(was)s",
        affected,
    )
    def advance(self, was: int, pos: int) -> int:
        """Move on, if nobody else did; keeps others from it until the transaction ends."""

    @query(
        f"""select {_UNINDEXED} from events
            where pos > %(after)s and pos <= %(upto)s and type in {_SEARCHABLE} and status = 0
            order by pos limit %(limit)s""",
        many(UnindexedRow),
    )
    def after(self, after: int, upto: int, limit: int) -> list[UnindexedRow]: ...

    @query(
        f"""select {_UNINDEXED} from events join message_search_backlog using (nid) order by nid limit %(limit)s""",
        many(UnindexedRow),
    )
    def backlog(self, limit: int) -> list[UnindexedRow]: ...

    @query("delete from message_search_backlog where nid = any(%(nids)s)", nothing)
    def done(self, nids: list[int]) -> None: ...

    @query(
        "select nid from events where nid = any(%(nids)s) and redacted_by is null order by nid for share",
        many(int),
    )
    def keep_unredacted(self, nids: list[int]) -> list[int]:
        """Those not redacted; who redacts one waits until the transaction ends, and then finds it in the index."""

    @query("delete from message_search", nothing)
    def clear(self) -> None: ...

    @query("update message_search_progress set pos = 0", nothing)
    def begin_anew(self) -> None: ...

    @query(
        f"""insert into message_search_backlog (nid)
            select nid from events where pos is null and ordering is not null and status = 0 and type in {_SEARCHABLE}
            on conflict do nothing""",
        nothing,
    )
    def note_backfilled(self) -> None: ...


# `strpos` in C takes a quarter of the time of `like`.
_MAY_MATCH = """room_id = any(%(rooms)s) and type = any(%(types)s) and status = 0 and redacted_by is null
      and (strpos(json collate "C", '"m.replace"') > 0 or least(origin_server_ts, received_ts) <= %(until)s
        and (strpos(lower(json collate "C"), %(needle)s) > 0 or octet_length(json) <> length(json)))"""


class MessageSearchTail(Queries):
    """The events that are not in the index yet."""

    @query(
        """select p.pos as after, s.pos as upto, exists(select from message_search_backlog) as backlog
           from message_search_progress p, stream s""",
        one(SpanRow),
    )
    def span(self) -> SpanRow: ...

    @query(
        f"""select {_UNINDEXED} from events where pos > %(after)s and pos <= %(upto)s and {_MAY_MATCH}
            order by pos desc limit %(limit)s""",
        many(UnindexedRow),
    )
    def recent(
        self,
        after: int,
        upto: int,
        rooms: list[RoomID],
        types: list[str],
        needle: str | None,
        until: int,
        limit: int,
    ) -> list[UnindexedRow]:
        """Of those with a position the latest that edit something, or have the needle if they are in ASCII, and
        are not later than ``until``."""

    @query(
        f"""select {_UNINDEXED} from events
            where nid in (select nid from message_search_backlog order by nid desc limit %(most)s) and {_MAY_MATCH}
            order by nid desc limit %(limit)s""",
        many(UnindexedRow),
    )
    def backlog(
        self,
        most: int,
        rooms: list[RoomID],
        types: list[str],
        needle: str | None,
        until: int,
        limit: int,
    ) -> list[UnindexedRow]:
        """The same of the backlog."""


class SearchedRooms(Queries):
    @query(
        """select m.room_id, m.membership from memberships m join room_summaries r using (room_id)
           where m.user_id = %(user_id)s and m.local and r.encryption is null
             and (m.membership = 'join' or m.membership = 'leave' and not m.forgotten)""",
        many(SearchedRoomRow),
    )
    def of_user(self, user_id: UserID) -> list[SearchedRoomRow]:
        """The rooms of a local user that are not encrypted."""


INDEXED_MESSAGES = bulk(
    "message_search",
    ("nid", "room_id", "sender", "type", "ts", "pos", "replaces", "words", "pieces"),
    "on conflict (nid) do nothing",
)
UNINDEXED_MESSAGES = bulk("message_search_backlog", ("nid",), "on conflict (nid) do nothing")
STRUCK_MESSAGES = bulk_delete("message_search", ("nid",), rank=2)
"""Takes what is redacted out of the index, after the redaction itself."""
