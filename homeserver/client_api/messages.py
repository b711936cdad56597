"""Paging through a room's history.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages
"""

from dataclasses import dataclass
from typing import Literal

import orjson

from homeserver.client_api.room_event_filter import parse_room_event_filter
from homeserver.http.authentication import access_token_or_guest
from homeserver.http.decoding import Natural
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.errors import MissingParam
from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import parse_page_token
from homeserver.services.rooms.history import History, PageRequest
from homeserver.services.rooms.rendering import Renderer, Viewer
from homeserver.services.rooms.shown_state import ShownState


@dataclass(frozen=True, slots=True)
class MessagesApi:
    """The endpoint that reads pages of history."""

    history: History
    shown_state: ShownState
    renderer: Renderer

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/messages",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3roomsroomidmessages",
    )
    async def messages(
        self,
        who: Requester,
        room_id: Path[RoomID],
        dir: Query[Literal["b", "f"] | None] = None,
        from_: Query[str | None] = None,
        to: Query[str | None] = None,
        limit: Query[Natural] = Natural(10),
        filter: Query[str | None] = None,
    ) -> RawJson:
        """A page of events, older or newer ones."""
        if dir is None:
            await self.history.require_reader(who, room_id)  # who may not read is told that first
            raise MissingParam("Missing query parameter dir")
        chosen = parse_room_event_filter(filter)
        request = PageRequest(
            backwards=dir == "b",
            start=parse_page_token(from_) if from_ else None,
            stop=parse_page_token(to) if to else None,
            limit=limit if chosen.limit is None else min(limit, chosen.limit),
            filter=chosen,
        )
        page = await self.history.page(who, room_id, request)
        viewer = Viewer.of(who)
        pieces = [
            b'{"chunk":[%b]' % b",".join(await self.renderer.timeline(viewer, page.events)),
            b'"start":%b' % orjson.dumps(str(page.start)),
        ]
        if page.end is not None:
            pieces.append(b'"end":%b' % orjson.dumps(str(page.end)))
        if chosen.lazy_load_members and page.events:
            events = [seen.stored for seen in page.events]
            members = await self.shown_state.members(events, {stored.event.sender for stored in events})
            pieces.append(b'"state":[%b]' % b",".join(await self.renderer.state(members, viewer)))
        return RawJson(b",".join(pieces) + b"}")
