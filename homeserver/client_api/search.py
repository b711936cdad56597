"""Searching messages.

https://spec.matrix.org/v1.19/client-server-api/#server-side-search
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import orjson

from homeserver.http.authentication import access_token
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Body, Query, endpoint
from homeserver.protocol.filters import RoomEventFilter
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.access import Seen
from homeserver.services.rooms.rendering import Renderer, Viewer
from homeserver.services.search.index import TYPE_OF_KEY
from homeserver.services.search.model import (
    Around,
    ContextWish,
    Criteria,
    GroupKey,
    Order,
    Place,
    Results,
    parse_place,
)
from homeserver.services.search.search import Search

DEFAULT_LIMIT = 10
Count = Annotated[int, msgspec.Meta(ge=0)]


class EventContext(msgspec.Struct, frozen=True):
    """What is wanted of what was said around a result."""

    before_limit: Count = 5
    after_limit: Count = 5
    include_profile: bool = False


class GroupWish(msgspec.Struct, frozen=True):
    """By what results are grouped."""

    key: GroupKey


class Groupings(msgspec.Struct, frozen=True):
    """The groupings that are wanted."""

    group_by: tuple[GroupWish, ...] = ()


class RoomEvents(msgspec.Struct, frozen=True):
    """What to look for in rooms."""

    search_term: str
    keys: tuple[Literal["content.body", "content.name", "content.topic"], ...] | None = None
    filter: RoomEventFilter = RoomEventFilter()
    order_by: Order = "rank"
    event_context: EventContext | None = None
    include_state: bool = False
    groupings: Groupings = Groupings()


class Categories(msgspec.Struct, frozen=True):
    """Where to look."""

    room_events: RoomEvents | None = None


class SearchRequest(msgspec.Struct, frozen=True):
    """The body of a search."""

    search_categories: Categories


@dataclass(frozen=True, slots=True)
class SearchApi:
    """The endpoint that searches messages."""

    messages: Search
    renderer: Renderer
    max_results: int

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/search",
        auth=access_token,
        limit="searches",
        spec="client-server-api/#post_matrixclientv3search",
    )
    async def search(
        self, who: Requester, body: Body[SearchRequest], next_batch: Query[str | None] = None
    ) -> RawJson:
        """Find messages, names and topics of rooms by words in them."""
        wanted = body.search_categories.room_events
        if wanted is None:
            return RawJson(b'{"search_categories":{}}')
        place = parse_place(next_batch) if next_batch else Place()
        results = await self.messages.search(who, self._criteria(wanted, place))
        return RawJson(b'{"search_categories":{"room_events":{%b}}}' % await self._rendered(who, results))

    def _criteria(self, wanted: RoomEvents, place: Place) -> Criteria:
        limit = DEFAULT_LIMIT if wanted.filter.limit is None else wanted.filter.limit
        keys = TYPE_OF_KEY if wanted.keys is None else wanted.keys
        context = wanted.event_context
        return Criteria(
            term=wanted.search_term,
            types=[TYPE_OF_KEY[key] for key in keys],
            limit=max(1, min(limit, self.max_results)),
            order=wanted.order_by,
            filter=wanted.filter,
            place=place,
            context=None
            if context is None
            else ContextWish(context.before_limit, context.after_limit, context.include_profile),
            include_state=wanted.include_state,
            groups=[group.key for group in wanted.groupings.group_by],
        )

    async def _rendered(self, who: Requester, results: Results) -> bytes:
        viewer = Viewer.of(who)
        events = await self.renderer.timeline(viewer, [match.seen for match in results.matches])
        rendered = []
        for number, event in enumerate(events):
            context = b""
            if results.around:
                context = b',"context":' + await self._context(viewer, results.around[number])
            rank = orjson.dumps(results.matches[number].rank)
            rendered.append(b'{"rank":%b,"result":%b%b}' % (rank, event, context))
        pieces = [
            b'"count":%d,"highlights":%b' % (results.count, orjson.dumps(results.highlights)),
            b'"results":[%b]' % b",".join(rendered),
            b'"groups":%b' % orjson.dumps(_groups(results)),
        ]
        if results.next is not None:
            pieces.append(b'"next_batch":"%b"' % str(results.next).encode())
        if results.state:
            state = [
                b"%b:[%b]" % (orjson.dumps(room_id), b",".join(await self.renderer.state(entries, viewer)))
                for room_id, entries in results.state.items()
            ]
            pieces.append(b'"state":{%b}' % b",".join(state))
        return b",".join(pieces)

    async def _context(self, viewer: Viewer, around: Around) -> bytes:
        rest: dict[str, object] = {"start": str(around.start), "end": str(around.end)}
        if around.profiles is not None:
            rest["profile_info"] = around.profiles
        return b'{"events_before":%b,"events_after":%b,%b' % (
            await self._list(viewer, around.before),
            await self._list(viewer, around.after),
            orjson.dumps(rest)[1:],
        )

    async def _list(self, viewer: Viewer, events: Sequence[Seen]) -> bytes:
        return b"[%b]" % b",".join(await self.renderer.timeline(viewer, events))


def _groups(results: Results) -> dict[str, dict[str, dict[str, object]]]:
    return {
        key: {
            value: {
                "order": group.order,
                "results": group.results,
                **({"next_batch": str(group.next)} if group.next else {}),
            }
            for value, group in groups.items()
        }
        for key, groups in results.groups.items()
    }
