"""History. https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events"""

from dataclasses import dataclass
from typing import Final

from federation.server_api.pdus import array, json_object, text
from federation.wire.backfill import BACKFILL, MISSING_EVENTS, MissingEventsQuery
from homeserver.clock import Clock
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.decoding import Natural
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Body, Path, Query, endpoint
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, is_event_id
from homeserver.services.rooms.exports import RoomExports

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class BackfillApi:
    """For servers that are in the room."""

    server_name: ServerName
    exports: RoomExports
    clock: Clock

    @endpoint(
        BACKFILL.method,
        BACKFILL.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1backfillroomid",
    )
    async def backfill(
        self,
        origin: Origin,
        room_id: Path[RoomID],
        v: Query[tuple[EventID, ...]],
        limit: Query[Natural],
    ) -> RawJson:
        """Give events and those before them."""
        events = await self.exports.backfill(origin.server, room_id, v, limit)
        return RawJson(
            json_object(
                origin=text(self.server_name),
                origin_server_ts=b"%d" % self.clock.now_ms(),
                pdus=array(events),
            )
        )

    @endpoint(
        MISSING_EVENTS.method,
        MISSING_EVENTS.path,
        auth=server_signature,
        spec=f"{_SPEC}post_matrixfederationv1get_missing_eventsroomid",
    )
    async def missing_events(
        self, origin: Origin, room_id: Path[RoomID], body: Body[MissingEventsQuery]
    ) -> RawJson:
        """Give the events between two sets."""
        events = await self.exports.missing(
            origin.server,
            room_id,
            [EventID(each) for each in body.earliest_events if is_event_id(each)],
            [EventID(each) for each in body.latest_events if is_event_id(each)],
            body.limit,
            body.min_depth,
        )
        return RawJson(json_object(events=array(events)))
