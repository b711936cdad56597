"""An event with what was said before and after it.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid
"""

from dataclasses import dataclass

import orjson

from homeserver.client_api.room_event_filter import parse_room_event_filter
from homeserver.http.authentication import access_token_or_guest
from homeserver.http.decoding import Natural
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.context import Contexts
from homeserver.services.rooms.rendering import Renderer, Viewer


@dataclass(frozen=True, slots=True)
class ContextApi:
    """The endpoint that shows an event among others."""

    contexts: Contexts
    renderer: Renderer

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/context/{event_id}",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3roomsroomidcontexteventid",
    )
    async def context(
        self,
        who: Requester,
        room_id: Path[RoomID],
        event_id: Path[EventID],
        limit: Query[Natural] = Natural(10),
        filter: Query[str | None] = None,
    ) -> RawJson:
        """An event, the events around it and the state at the last of them."""
        chosen = parse_room_event_filter(filter)
        found = await self.contexts.around(who, room_id, event_id, limit, chosen)
        viewer = Viewer.of(who)
        event = await self.renderer.timeline(viewer, (found.event,))
        before = await self.renderer.timeline(viewer, found.before)
        after = await self.renderer.timeline(viewer, found.after)
        state = await self.renderer.state(found.state, viewer)
        return RawJson(
            b'{"event":%b,"events_before":[%b],"events_after":[%b],"state":[%b],"start":%b,"end":%b}'
            % (
                event[0],
                b",".join(before),
                b",".join(after),
                b",".join(state),
                orjson.dumps(str(found.start)),
                orjson.dumps(str(found.end)),
            )
        )
