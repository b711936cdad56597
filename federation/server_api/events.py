"""Single events, and what authorises them. https://spec.matrix.org/v1.19/server-server-api/#retrieving-events"""

from dataclasses import dataclass
from typing import Final

from federation.server_api.pdus import array, json_object, text
from federation.wire.events import EVENT, EVENT_AUTH
from homeserver.clock import Clock
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Path, endpoint
from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from homeserver.services.rooms.exports import RoomExports

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class EventsApi:
    """For servers that are in the room."""

    server_name: ServerName
    exports: RoomExports
    clock: Clock

    @endpoint(
        EVENT.method, EVENT.path, auth=server_signature, spec=f"{_SPEC}get_matrixfederationv1eventeventid"
    )
    async def event(self, origin: Origin, event_id: Path[EventID]) -> RawJson:
        """Give one event."""
        event = await self.exports.event(origin.server, event_id)
        return RawJson(
            json_object(
                origin=text(self.server_name),
                origin_server_ts=b"%d" % self.clock.now_ms(),
                pdus=array([event]),
            )
        )

    @endpoint(
        EVENT_AUTH.method,
        EVENT_AUTH.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1event_authroomideventid",
    )
    async def event_auth(self, origin: Origin, room_id: Path[RoomID], event_id: Path[EventID]) -> RawJson:
        """Give all events that authorise an event."""
        chain = await self.exports.auth_chain_of(origin.server, room_id, event_id)
        return RawJson(json_object(auth_chain=array(chain)))
