"""Reading single events and the state of rooms.

https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room
"""

from dataclasses import dataclass
from typing import Any, Literal

from homeserver.http.authentication import access_token_or_guest
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.access import Access
from homeserver.services.rooms.rendering import Renderer, Viewer
from homeserver.services.rooms.state_reading import StateReading


@dataclass(frozen=True, slots=True)
class RoomStateApi:
    """Endpoints that read events and state."""

    access: Access
    state_reading: StateReading
    renderer: Renderer

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/event/{event_id}",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3roomsroomideventeventid",
    )
    async def event(self, who: Requester, room_id: Path[RoomID], event_id: Path[EventID]) -> RawJson:
        """One event."""
        seen = await self.access.event(room_id, who.user_id, event_id)
        return RawJson((await self.renderer.timeline(Viewer.of(who), (seen,)))[0])

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/state",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3roomsroomidstate",
    )
    async def all_state(self, who: Requester, room_id: Path[RoomID]) -> RawJson:
        """The state of a room; as it was when the user left, if they did."""
        events = await self.state_reading.all(who, room_id)
        return RawJson(b"[%b]" % b",".join(await self.renderer.state(events, Viewer.of(who))))

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/state/{event_type}",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/state/{event_type}/{state_key}",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey",
    )
    async def state(
        self,
        who: Requester,
        room_id: Path[RoomID],
        event_type: Path[str],
        state_key: Path[str] = "",
        format: Query[Literal["content", "event"]] = "content",
    ) -> RawJson | dict[str, Any]:
        """One entry of the state: its content, or the whole event."""
        stored = await self.state_reading.one(who, room_id, event_type, state_key)
        if format == "content":
            return stored.event.content
        return RawJson((await self.renderer.state((stored,), Viewer.of(who)))[0])
