"""Reading the index page by page, and keeping what the reader may see."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from homeserver.protocol.filters import RoomEventFilter
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.search_text import SearchTerm, numbered
from homeserver.services.rooms.access import Reader
from homeserver.services.rooms.ignored_users import ignored_by
from homeserver.services.rooms.parents import with_children
from homeserver.services.search.index import room_piece
from homeserver.services.search.model import Criteria, Match, Place
from homeserver.services.search.tail import Tail, read_tail, tail_of
from homeserver.services.search.versions import Versions
from storage.database import Database
from storage.tables.search import MatchRow, MessageSearch
from storage.transaction import Transaction

T = TypeVar("T")

MAX_SCANNED = 2000
"""Matches that one page looks at, however few of them it may show."""
MAX_RANKED = 10_000
"""Only so many of the latest matches are ordered by rank."""
MAX_COUNTED = 300
"""The first page counts up to so many; what a reader may not see is not counted, so counting costs looking."""
_BLOCK = 100
_MAX_ROOM_PIECES = 300
"""With more rooms than these, to look for what is in them is no help."""


@dataclass(frozen=True, slots=True)
class Found:
    """The matches of a page, how many there are, and where to go on."""

    matches: Sequence[Match]
    count: int
    next: Place | None


class Finder:
    """Finds messages for readers of rooms."""

    def __init__(self, database: Database, versions: Versions) -> None:
        self._database = database
        self._versions = versions

    async def find(
        self, user_id: UserID, readers: Mapping[RoomID, Reader], term: SearchTerm, criteria: Criteria
    ) -> Found:
        """The next matches from the criteria's place on."""
        place, ignored, tail = await self._begin(user_id, readers, term, criteria)
        counting = place.count is None
        size = MAX_COUNTED if counting else _BLOCK
        found: list[Match] = []
        scanned = 0
        while scanned < MAX_SCANNED:
            rows = tail.into(await self._block(readers, term, criteria, place, size), place, size)
            matches = await self._matches(user_id, readers, criteria, rows, place, tail)
            shown = [match for match in matches if _is_shown(match, ignored)]
            found += await self._related(criteria.filter, shown)
            if len(rows) < size:
                return self._page(found, criteria, None)
            place = _behind(place, rows[-1])
            scanned += len(rows)
            if len(found) > criteria.limit and (not counting or scanned >= MAX_COUNTED):
                break
        return self._page(found, criteria, place)

    async def _begin(
        self, user_id: UserID, readers: Mapping[RoomID, Reader], term: SearchTerm, criteria: Criteria
    ) -> tuple[Place, frozenset[UserID], Tail]:
        """Where to begin, whom the reader ignores, and what the index does not have yet."""
        latest, ignored, rows = await self._database.read(
            lambda tx: (
                MessageSearch(tx).latest() if _is_begun(criteria) else None,
                ignored_by(tx, user_id),
                read_tail(tx, list(readers), term, criteria),
            )
        )
        tail = tail_of(rows, readers, term, criteria)
        if not _is_begun(criteria):
            return criteria.place, ignored, tail
        top_ts, top_nid = max(latest or (0, 0), tail.latest)
        return replace(criteria.place, top_ts=top_ts, top_nid=top_nid), ignored, tail

    def _page(self, found: list[Match], criteria: Criteria, rest: Place | None) -> Found:
        count = len(found) if criteria.place.count is None else criteria.place.count
        shown = found[: criteria.limit]
        if len(found) > criteria.limit or (shown and len(shown) == criteria.limit):
            rest = (
                shown[-1].behind if shown else criteria.place
            )  # behind a full page, clients look for another
        return Found(shown, count, None if rest is None else replace(rest, count=count))

    async def _related(self, filter: RoomEventFilter, matches: list[Match]) -> list[Match]:
        """Those that others relate to as the filter asks."""
        events = [match.seen.stored for match in matches]
        parents = {stored.nid for stored in await with_children(self._database, filter, events)}
        return [match for match in matches if match.seen.stored.nid in parents]

    async def _block(
        self, readers: Mapping[RoomID, Reader], term: SearchTerm, criteria: Criteria, place: Place, size: int
    ) -> list[MatchRow]:
        return await self._database.read(lambda tx: _read(tx, readers, term, criteria, place, size))

    async def _matches(
        self,
        user_id: UserID,
        readers: Mapping[RoomID, Reader],
        criteria: Criteria,
        rows: Sequence[MatchRow],
        place: Place,
        tail: Tail,
    ) -> list[Match]:
        if not rows:
            return []
        current = await self._versions.current(user_id, readers, rows, tail.edits)
        matches, is_open = [], criteria.filter.is_open
        for row in rows:
            if row.nid not in current:
                continue
            shown, version = current[row.nid]
            if not (is_open or criteria.filter.matches_event(shown.stored.event)):
                continue
            if version.event.content:  # erased users' words are shown to few
                matches.append(Match(shown, row.rank / 1_000_000, _behind(place, row)))
        return matches


def _is_begun(criteria: Criteria) -> bool:
    """Whether what is said from now on is left out: it has no rank among what is there."""
    return criteria.order == "rank" and criteria.place.count is None


def _read(
    tx: Transaction,
    readers: Mapping[RoomID, Reader],
    term: SearchTerm,
    criteria: Criteria,
    place: Place,
    size: int,
) -> list[MatchRow]:
    rooms = list(readers)
    uptos = [2**62 if math.isinf(each.joined_until) else int(each.joined_until) for each in readers.values()]
    few = len(rooms) <= _MAX_ROOM_PIECES
    room_pieces = numbered(room_piece(room_id) for room_id in rooms) if few else None
    filter = criteria.filter
    senders = _listed(filter.senders)
    where = (rooms, uptos, room_pieces, term.pieces, term.patterns, list(criteria.types), senders)
    bounds = (list(filter.not_senders), place.top_ts, place.top_nid, place.ts, place.nid, size)
    table = MessageSearch(tx)
    if criteria.order == "recent":
        return table.recent(*where, *bounds)
    return table.best(*where, *bounds, place.rank, list(term.words), MAX_RANKED)


def _listed(names: Sequence[T] | None) -> list[T] | None:
    return None if names is None else list(names)


def _behind(place: Place, row: MatchRow) -> Place:
    return replace(place, rank=row.rank, ts=row.ts, nid=row.nid)


def _is_shown(match: Match, ignored: frozenset[UserID]) -> bool:
    event = match.seen.stored.event
    return event.is_state or event.sender not in ignored
