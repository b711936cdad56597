"""What a search finds of the events that the index has not come to yet: it reads them itself instead of waiting.

PostgreSQL picks what may have the words, by a comparison that is too generous; the latest of these are cut up as the
index would. So a search never waits for the index, finds what was just said, and writes nothing. Of a tail that is
longer than it looks at, the rest is found when the index has come there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.search_text import SearchTerm, stored_text, words_of
from homeserver.services.rooms.access import Reader
from homeserver.services.search.index import read_searchable
from homeserver.services.search.model import Criteria, Place
from storage.tables.search import MatchRow, MessageSearchTail, UnindexedRow
from storage.transaction import Transaction

MAX_POSITIONS = 5_000
"""So far back it looks, and at so many of the events that were backfilled."""
MAX_CANDIDATES = 300


@dataclass(frozen=True, slots=True)
class Tail:
    """What was found: matches, and by message those that are newer versions of it, matching or not."""

    matches: Sequence[MatchRow] = ()
    edits: Mapping[EventID, Sequence[int]] = field(default_factory=dict)

    @property
    def latest(self) -> tuple[int, int]:
        """Time and number of the latest match."""
        return max(((row.ts, row.nid) for row in self.matches), default=(0, 0))

    def into(self, rows: Sequence[MatchRow], place: Place, size: int) -> list[MatchRow]:
        """The matches that follow a place, as the index has them and the tail: the first ``size`` of both."""
        indexed = {row.nid for row in rows}
        begin, top = (place.rank, place.ts, place.nid), (place.top_ts, place.top_nid)
        new = [row for row in self.matches if _key(row) < begin and _key(row)[1:] <= top]
        return sorted([*rows, *(row for row in new if row.nid not in indexed)], key=_key, reverse=True)[:size]


def read_tail(
    tx: Transaction, rooms: Sequence[RoomID], term: SearchTerm, criteria: Criteria
) -> list[UnindexedRow]:
    """The events behind the index that may match or edit what does."""
    table = MessageSearchTail(tx)
    span = table.span()
    where = (list(rooms), list(criteria.types), _needle(term), _until(criteria))
    rows = []
    if span.upto > span.after:
        after = max(span.after, span.upto - MAX_POSITIONS)
        rows = table.recent(after, span.upto, *where, MAX_CANDIDATES)
    if span.backlog:
        rows += table.backlog(MAX_POSITIONS, *where, MAX_CANDIDATES)
    return rows


def tail_of(
    rows: Sequence[UnindexedRow], readers: Mapping[RoomID, Reader], term: SearchTerm, criteria: Criteria
) -> Tail:
    """What of them is found."""
    matches: list[MatchRow] = []
    edits: dict[EventID, list[int]] = {}
    patterns = [pattern.strip("%") for pattern in term.patterns]
    for row, found in read_searchable(rows):
        if (row.pos or 0) > readers[row.room_id].joined_until:
            continue
        replaces = None if found.replaces is None else EventID(found.replaces)
        if replaces is not None:
            edits.setdefault(replaces, []).append(row.nid)
        text = stored_text(words_of(found.text))
        if all(pattern in text for pattern in patterns):
            rank = 0 if criteria.order == "recent" else _rank(term, text)
            matches.append(MatchRow(row.nid, rank, row.ts, replaces))
    return Tail(matches, edits)


def _needle(term: SearchTerm) -> str | None:
    """What an event written in ASCII must have, if any can match; others are all looked at."""
    return max(term.words, key=len) if all(word.isascii() for word in term.words) else None


def _until(criteria: Criteria) -> int:
    """In order of time, a further page needs nothing later."""
    return (
        min(criteria.place.ts, criteria.place.top_ts) if criteria.order == "recent" else criteria.place.top_ts
    )


def _rank(term: SearchTerm, text: str) -> int:
    """As the query of the index has it."""
    points = [3 if f" {word} " in text else 2 if f" {word}" in text else 1 for word in term.words]
    return round(1_000_000 * (sum(points) / len(points)) / (3 * (1 + math.log(len(text)))))


def _key(row: MatchRow) -> tuple[int, int, int]:
    return row.rank, row.ts, row.nid
