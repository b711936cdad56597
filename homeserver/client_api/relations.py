"""Events that relate to an event. https://spec.matrix.org/v1.19/client-server-api/#relationships-api"""

from dataclasses import dataclass
from typing import Literal

import orjson

from homeserver.http.authentication import access_token_or_guest
from homeserver.http.decoding import Natural
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import parse_page_token
from homeserver.services.rooms.relations import MAX_DEPTH, Related, RelatedRequest
from homeserver.services.rooms.rendering import Renderer, Viewer

_PATH = "/_matrix/client/{v1,unstable}/rooms/{room_id}/relations/{event_id}"
_SPEC = "client-server-api/#get_matrixclientv1roomsroomidrelationseventid"


@dataclass(frozen=True, slots=True)
class Paging:
    """What of a page is the same for the three endpoints."""

    dir: str
    start: str | None
    stop: str | None
    limit: int
    recurse: bool | None


@dataclass(frozen=True, slots=True)
class RelationsApi:
    """The endpoints that read relations."""

    related: Related
    renderer: Renderer

    @endpoint("GET", _PATH, auth=access_token_or_guest, spec=_SPEC)
    async def relations(
        self,
        who: Requester,
        room_id: Path[RoomID],
        event_id: Path[EventID],
        dir: Query[Literal["b", "f"]] = "b",
        from_: Query[str | None] = None,
        to: Query[str | None] = None,
        limit: Query[Natural] = Natural(5),
        recurse: Query[bool | None] = None,
    ) -> RawJson:
        """The events that relate to an event."""
        return await self._page(who, room_id, event_id, Paging(dir, from_, to, limit, recurse))

    @endpoint("GET", _PATH + "/{rel_type}", auth=access_token_or_guest, spec=_SPEC + "reltype")
    async def relations_of_kind(
        self,
        who: Requester,
        room_id: Path[RoomID],
        event_id: Path[EventID],
        rel_type: Path[str],
        dir: Query[Literal["b", "f"]] = "b",
        from_: Query[str | None] = None,
        to: Query[str | None] = None,
        limit: Query[Natural] = Natural(5),
        recurse: Query[bool | None] = None,
    ) -> RawJson:
        """The events that relate to an event in one way."""
        return await self._page(who, room_id, event_id, Paging(dir, from_, to, limit, recurse), rel_type)

    @endpoint(
        "GET", _PATH + "/{rel_type}/{event_type}", auth=access_token_or_guest, spec=_SPEC + "reltypeeventtype"
    )
    async def relations_of_type(
        self,
        who: Requester,
        room_id: Path[RoomID],
        event_id: Path[EventID],
        rel_type: Path[str],
        event_type: Path[str],
        dir: Query[Literal["b", "f"]] = "b",
        from_: Query[str | None] = None,
        to: Query[str | None] = None,
        limit: Query[Natural] = Natural(5),
        recurse: Query[bool | None] = None,
    ) -> RawJson:
        """The events of one type that relate to an event in one way."""
        paging = Paging(dir, from_, to, limit, recurse)
        return await self._page(who, room_id, event_id, paging, rel_type, event_type)

    async def _page(
        self,
        who: Requester,
        room_id: RoomID,
        event_id: EventID,
        paging: Paging,
        rel_type: str | None = None,
        event_type: str | None = None,
    ) -> RawJson:
        request = RelatedRequest(
            event_id,
            rel_type,
            event_type,
            recurse=bool(paging.recurse),
            backwards=paging.dir == "b",
            start=parse_page_token(paging.start) if paging.start else None,
            stop=parse_page_token(paging.stop) if paging.stop else None,
            limit=paging.limit,
        )
        page = await self.related.page(who, room_id, request)
        pieces = [
            b'{"chunk":[%b]' % b",".join(await self.renderer.timeline(Viewer.of(who), page.events)),
        ]
        if page.end is not None:
            pieces.append(b'"next_batch":%b' % orjson.dumps(str(page.end)))
        if paging.start:
            pieces.append(b'"prev_batch":%b' % orjson.dumps(paging.start))
        if paging.recurse is not None:
            pieces.append(b'"recursion_depth":%d' % (MAX_DEPTH if paging.recurse else 1))
        return RawJson(b",".join(pieces) + b"}")
