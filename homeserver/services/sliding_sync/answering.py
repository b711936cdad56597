"""Works out one answer: which rooms are looked at, what is new of them, and what the client knows afterwards."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.sliding_sync.connection import ALL, Connection, Sent, after
from homeserver.services.sliding_sync.extensions import Extensions, Known
from homeserver.services.sliding_sync.gather import Reading, SlidingGatherer
from homeserver.services.sliding_sync.model import ListResult, RoomConfig, RoomResult, SlidingRequest
from homeserver.services.sliding_sync.required_state import Wanted
from homeserver.services.sliding_sync.room_list import Choice, RoomLists, Rooms, activity, choose, matching
from homeserver.services.sliding_sync.unread_rooms import UnreadRooms
from homeserver.services.sliding_sync.visits import Visit, visit
from homeserver.services.sync.here import Here
from homeserver.services.sync.live import LiveUser
from homeserver.services.sync.model import Client
from storage.tables.sliding_sync import ListedRow

_NOTHING_MORE = RoomConfig(1, Wanted())
"""What is told of a room that the user was in and that nobody looks at: how it ended."""
_NOT_LEFT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Start:
    """Where an answer begins: what the client knows, up to which positions. ``since`` is 0 for one that is new."""

    client: Client
    connection: Connection
    since: int
    ephemeral_since: int


@dataclass(slots=True)
class Answer:
    """What is told, up to which positions, and what the client knows then."""

    upto: int
    ephemeral_upto: int
    connection: Connection
    lists: Mapping[str, ListResult] = field(default_factory=dict)
    rooms: Sequence[RoomResult] = ()
    extensions: Mapping[str, bytes] = field(default_factory=dict)
    is_news: bool = False


class Answering:
    """Makes answers."""

    def __init__(
        self,
        lists: RoomLists,
        gatherer: SlidingGatherer,
        extensions: Extensions,
        unread: UnreadRooms,
        here: Here,
        partial: PartialRooms,
    ) -> None:
        self._partial = partial
        self._lists = lists
        self._gatherer = gatherer
        self.extensions = extensions
        self._unread = unread
        self._here = here

    async def answer(self, who: Requester, request: SlidingRequest, start: Start, user: LiveUser) -> Answer:
        """Everything after ``start`` in what the client looks at."""
        ephemeral_upto = self._here.ephemeral.position
        connection = start.connection
        oldest = min((sent.behind for sent in connection.rooms.values() if sent.behind), default=start.since)
        rooms = await self._lists.read(user, min(oldest, start.since) if start.since else _NOT_LEFT, request)
        upto = max(rooms.now, start.since)
        reading = Reading(who.user_id, start.client, start.since, upto, user.ignored)
        choices, lists = choose(request, rooms, connection.rooms)
        for room_id in self._partial.among(user.rooms):
            choice = choices.get(room_id)
            if choice is not None and choice.row.membership == "join" and choice.config.state.all_members:
                del choices[room_id]  # it comes when they are known
        _add_ended(choices, rooms.rows, connection, start.since)
        visits = [
            visit(choice, connection, start.since, is_dm=room_id in rooms.direct)
            for room_id, choice in choices.items()
        ]
        recounted: Collection[RoomID] = ()
        if request.counts:
            inside = [room_id for room_id, sent in connection.rooms.items() if sent.inside]
            recounted = await self._unread.recounted(reading, user, inside)
            _mark_recounted(visits, recounted)
        news = [each for each in visits if each.may_have_news]
        results = await self._gatherer.results(reading, news)
        if request.counts:
            await self._unread.tell(reading, results)
        known = _known(request, rooms, connection, news)
        if request.extensions.sticky is not None:
            known = replace(known, interesting=_interesting(request, rooms), told=_told(results))
        told = await self.extensions.tell(who, reading, request.extensions, known, start.ephemeral_since)
        recount = {each.room_id for each in news if each.recounted}
        shown = [result for result in results if result.room_id in recount or _is_news(result)]
        shown += await self._farewells(reading, connection, rooms.rows)
        return Answer(
            upto,
            ephemeral_upto,
            _next(start, rooms.rows, visits, results, recounted),
            lists,
            shown,
            told.bodies,
            is_news=bool(shown) or told.is_news or not start.since,
        )

    async def _farewells(
        self, reading: Reading, connection: Connection, rows: Sequence[ListedRow]
    ) -> list[RoomResult]:
        """How the user left rooms that the client knows and of which nothing is left."""
        if not connection.rooms:
            return []
        gone = connection.rooms.keys() - {row.room_id for row in rows}
        return await self._gatherer.farewells(reading, gone) if gone else []


def _add_ended(
    choices: dict[RoomID, Choice], rows: Sequence[ListedRow], connection: Connection, since: int
) -> None:
    """How the user's stays in rooms ended is told whether they are looked at or not: these are in no list."""
    for row in rows:
        sent = connection.rooms.get(row.room_id)
        if sent is not None and row.room_id not in choices and row.membership in ("leave", "ban"):
            if row.pos > (sent.behind or since):
                config = RoomConfig(_NOTHING_MORE.limit, connection.configs[sent.config])
                choices[row.room_id] = Choice(row, config)


def _mark_recounted(visits: Sequence[Visit], recounted: Collection[RoomID]) -> None:
    """A room that comes back into sight is told of with its counts, whatever happened meanwhile."""
    for each in visits:
        if each.inside and each.sent is not None and each.sent.inside:
            each.recounted = each.room_id in recounted or each.sent.behind > 0


def _known(request: SlidingRequest, rooms: Rooms, connection: Connection, news: Sequence[Visit]) -> Known:
    fresh = [each.room_id for each in news if each.initial and each.inside]
    inside = {row.room_id for row in rooms.rows if row.membership == "join"}
    knows = [room_id for room_id, sent in connection.rooms.items() if sent.inside and room_id in inside]
    scopes = (request.extensions.account_data, request.extensions.receipts, request.extensions.typing)
    names = {name for scope in scopes if scope is not None for name in scope.lists or ()}
    lists = {
        name: [row.room_id for row in matching(request.lists[name].filter, rooms)]
        for name in names & request.lists.keys()
    }
    return Known(fresh, knows, lists)


def _interesting(request: SlidingRequest, rooms: Rooms) -> set[RoomID]:
    """The rooms that the user is in and that belong to any list."""
    inside = {row.room_id for row in rooms.rows if row.membership == "join"}
    listed = {row.room_id for each in request.lists.values() for row in matching(each.filter, rooms)}
    return inside & (listed | request.subscriptions.keys())


def _told(results: Sequence[RoomResult]) -> set[int]:
    return {nid for each in results if each.timeline is not None for nid in each.timeline.nids()}


def _is_news(result: RoomResult) -> bool:
    timeline = result.timeline
    return bool(
        result.initial
        or result.membership != "join"
        or (timeline is not None and (timeline.events or timeline.limited))
        or result.state
        or result.gone
        or result.is_dm is not None
        or result.name_told
        or result.avatar_told
        or result.counts is not None
    )


def _next(
    start: Start,
    rows: Sequence[ListedRow],
    visits: Sequence[Visit],
    results: Sequence[RoomResult],
    recounted: Collection[RoomID],
) -> Connection:
    """What the client knows when it has the answer."""
    connection = start.connection
    by_room = {result.room_id: result for result in results}
    told: dict[RoomID, tuple[Sent, Wanted] | None] = {}
    as_before = _AsBefore(connection)
    same: set[RoomID] = set()
    for each in visits:
        if each.room_id not in by_room and as_before.is_known(each):
            same.add(each.room_id)
            continue
        ended = not each.inside and each.row.membership in ("leave", "ban")
        if ended and (not each.is_past or each.row.sender == each.row.user_id):
            told[each.room_id] = None
        else:
            told[each.room_id] = _sent(each, by_room.get(each.room_id)), each.config.state
    behind: dict[RoomID, int] = {}
    there: Mapping[RoomID, ListedRow] = {row.room_id: row for row in rows}
    for room_id, sent in connection.rooms.items():
        row = there.get(room_id)
        if room_id in told or room_id in same:
            continue
        if row is None:
            told[room_id] = None
        elif not sent.behind and (room_id in recounted or max(activity(row), row.pos) > start.since):
            behind[room_id] = start.since
    return after(connection, told, behind)


class _AsBefore:
    """Tells the many rooms of which nothing is noted anew: rooms of a list share what is wanted of them."""

    def __init__(self, connection: Connection) -> None:
        self._configs = connection.configs
        self._equal: dict[tuple[int, int], bool] = {}

    def is_known(self, visit: Visit) -> bool:
        """Whether the record of a room that nothing is told of stays as it is."""
        sent, wanted = visit.sent, visit.config.state
        if sent is None or sent.behind:
            return False
        key = (id(wanted), sent.config)
        if key not in self._equal:
            self._equal[key] = self._configs[sent.config] == wanted
        return self._equal[key]


def _sent(visit: Visit, result: RoomResult | None) -> Sent:
    before = visit.sent
    if result is None or result.timeline is None:
        seen = 0 if before is None else before.seen
    elif result.timeline.limited:
        seen = len(result.timeline.events)
    else:
        seen = ALL if visit.initial or visit.expanded or before is None else before.seen
    return Sent(0, seen, 0, visit.is_dm, visit.inside)
