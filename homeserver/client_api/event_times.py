"""Finding events by date.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from homeserver.http.authentication import access_token_or_guest
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.event_times import EventTimes


class EventAt(msgspec.Struct, frozen=True):
    """An event and its time, in milliseconds."""

    event_id: EventID
    origin_server_ts: int


@dataclass(frozen=True, slots=True)
class EventTimesApi:
    """The endpoint, under its stable path and that of MSC3030."""

    times: EventTimes

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{room_id}/timestamp_to_event",
        "/_matrix/client/unstable/org.matrix.msc3030/rooms/{room_id}/timestamp_to_event",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event",
    )
    async def find(
        self, who: Requester, room_id: Path[RoomID], ts: Query[int], dir: Query[Literal["f", "b"]]
    ) -> EventAt:
        """The event closest to a time."""
        event = await self.times.find(who, room_id, ts, dir)
        return EventAt(event.event_id, event.origin_server_ts)
