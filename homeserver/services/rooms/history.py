"""Pages of a room's history.

The order of history is (depth, ordering); a page that goes forward from a place in the stream follows the
stream instead. https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from homeserver.protocol.filters import RoomEventFilter
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import LiveToken, PageToken, TopologicalToken
from homeserver.services.rooms.access import Access, Seen, Standing
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.gaps import Gaps
from homeserver.services.rooms.ignored_users import ignored_by
from homeserver.services.rooms.page_places import FURTHEST, LATEST, START, Span, just_before, of_event
from homeserver.services.rooms.page_places import fetch as fetch_rows
from homeserver.services.rooms.parents import with_children
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.events import Events
from storage.transaction import Transaction

MAX_LIMIT = 1000
MAX_SCANNED = 2000
"""Events that one page looks at at most, however few of them it may show."""
_BLOCK = 200


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page: ``start`` None is the end of the history that the direction begins with."""

    backwards: bool
    start: PageToken | None = None
    stop: PageToken | None = None
    limit: int = 10
    filter: RoomEventFilter = field(default_factory=RoomEventFilter)


@dataclass(frozen=True, slots=True)
class Page:
    """A page in the order asked for; ``end`` is None where nothing further can be seen. A page with events always has
    one, for clients that take a page without for an error.
    """

    events: Sequence[Seen]
    start: PageToken
    end: PageToken | None
    standing: Standing


class History:
    """Reads pages of history as users may see them."""

    def __init__(self, database: Database, events: EventStore, access: Access, gaps: Gaps) -> None:
        self._database = database
        self._events = events
        self._access = access
        self._gaps = gaps

    async def require_reader(self, who: Requester, room_id: RoomID) -> None:
        """Raises Forbidden unless the user may read the room."""
        await self._access.standing(room_id, who.user_id)

    async def page(self, who: Requester, room_id: RoomID, request: PageRequest) -> Page:
        """One page. Raises Forbidden."""
        standing = await self._access.standing(room_id, who.user_id)
        upto = FURTHEST if standing.upto is None else standing.upto
        start = request.start or (
            LiveToken(min(standing.head.last_pos, upto)) if request.backwards else START
        )
        if not request.limit:
            return Page((), start, start, standing)
        span, ignored = await self._database.read(
            lambda tx: (_span(tx, room_id, request, start, upto), ignored_by(tx, who.user_id))
        )
        seen, end = await self._collect(standing, request, span, ignored)
        return Page(seen, start, end, standing)

    async def around(
        self,
        standing: Standing,
        event: StoredEvent,
        before_limit: int,
        after_limit: int,
        filter: RoomEventFilter,
    ) -> tuple[Page, Page]:
        """The pages before and after an event, nearest first."""
        upto = FURTHEST if standing.upto is None else standing.upto
        ignored = await self._database.read(lambda tx: ignored_by(tx, standing.reader.user_id))
        pages = []
        ways = ((True, just_before(event), before_limit), (False, of_event(event), after_limit))
        for backwards, place, limit in ways:
            request = PageRequest(backwards, place, None, limit, filter)
            span = Span(standing.head.room_id, backwards, place, -1, upto)
            seen, end = await self._collect(standing, request, span, ignored) if limit else ([], place)
            pages.append(Page(seen, place, end, standing))
        return pages[0], pages[1]

    async def _collect(
        self, standing: Standing, request: PageRequest, span: Span, ignored: Collection[UserID]
    ) -> tuple[list[Seen], PageToken | None]:
        """Events from the span's place on that pass the filter and may be seen, and where to go on."""
        limit = min(request.limit, MAX_LIMIT)
        found: list[Seen] = []
        place: PageToken = span.place
        scanned = 0
        filled = False
        unfinished = span.backwards and standing.head.partial  # there will be more when all members are known
        while scanned < MAX_SCANNED:
            wanted = limit - len(found) + 1 if scanned == 0 else _BLOCK
            rows = await self._fetch(span, place, wanted, request.filter)
            if span.backwards and not filled:
                depth = place.depth if isinstance(place, TopologicalToken) else FURTHEST
                filled = await self._gaps.fill(span.room_id, depth, rows, wanted)
                if filled:
                    continue
            shown = [row for row in rows if row.event.is_state or row.event.sender not in ignored]
            seen = await self._filtered(standing, request.filter, shown)
            for stored in rows:
                if span.is_beyond(request.stop, stored):
                    return found, place if found or unfinished else None
                if len(found) == limit:
                    return found, place
                if stored.nid in seen:
                    found.append(seen[stored.nid])
                place = span.behind(stored)
            if len(rows) < wanted:
                return found, place if found or unfinished else None
            scanned += len(rows)
        return found, place

    async def _fetch(
        self, span: Span, place: PageToken, limit: int, filter: RoomEventFilter
    ) -> list[StoredEvent]:
        types = None if filter.types is None or any("*" in t for t in filter.types) else list(filter.types)
        rows = await self._database.read(lambda tx: fetch_rows(tx, span, place, types, limit))
        return self._events.load(rows)

    async def _filtered(
        self, standing: Standing, filter: RoomEventFilter, rows: Sequence[StoredEvent]
    ) -> dict[int, Seen]:
        passing = rows if filter.is_open else [row for row in rows if filter.matches_event(row.event)]
        passing = await with_children(self._database, filter, passing)
        return {seen.stored.nid: seen for seen in await self._access.select(standing.reader, passing)}


def _span(tx: Transaction, room_id: RoomID, request: PageRequest, start: PageToken, upto: int) -> Span:
    since = request.stop.pos if isinstance(request.stop, LiveToken) and request.backwards else -1
    if isinstance(start, TopologicalToken):
        return Span(room_id, request.backwards, start, since, upto)
    if not request.backwards:
        return Span(room_id, False, start, start.pos, upto)
    upto = min(start.pos, upto)
    table = Events(tx)
    deepest = max(table.deepest_at(room_id, upto) or 0, table.depth_after(room_id, upto) or 0)
    return Span(room_id, True, TopologicalToken(deepest, LATEST), since, upto)
