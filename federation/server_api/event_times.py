"""Events by date. https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1timestamp_to_eventroomid"""

from dataclasses import dataclass
from typing import Literal

from federation.wire.events import TIMESTAMP_TO_EVENT, EventAtMoment
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.identifiers import RoomID
from homeserver.services.rooms.event_times import EventTimes
from homeserver.services.rooms.server_access import ServerAccess


@dataclass(frozen=True, slots=True)
class EventTimesApi:
    """For servers that are in the room."""

    access: ServerAccess
    times: EventTimes

    @endpoint(
        TIMESTAMP_TO_EVENT.method,
        TIMESTAMP_TO_EVENT.path,
        auth=server_signature,
        spec="server-server-api/#get_matrixfederationv1timestamp_to_eventroomid",
    )
    async def find(
        self, origin: Origin, room_id: Path[RoomID], ts: Query[int], dir: Query[Literal["f", "b"]]
    ) -> EventAtMoment:
        """Give the event closest to a time."""
        await self.access.shared(room_id, origin.server)
        event = await self.times.find_for_server(room_id, ts, dir)
        return EventAtMoment(event.event_id, event.origin_server_ts)
