"""The state of rooms before an event.
https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1stateroomid
"""

from dataclasses import dataclass
from typing import Final

from federation.server_api.pdus import json_object
from federation.wire.state import STATE, STATE_IDS, RoomStateIDs
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.services.rooms.exports import RoomExports

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class StateApi:
    """For servers that are in the room."""

    exports: RoomExports

    @endpoint(
        STATE.method, STATE.path, auth=server_signature, spec=f"{_SPEC}get_matrixfederationv1stateroomid"
    )
    async def state(self, origin: Origin, room_id: Path[RoomID], event_id: Query[EventID]) -> RawJson:
        """Give the state and its auth chain."""
        at = await self.exports.state_at(origin.server, room_id, event_id)
        return RawJson(json_object(pdus=at.state, auth_chain=at.auth_chain))

    @endpoint(
        STATE_IDS.method,
        STATE_IDS.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1state_idsroomid",
    )
    async def state_ids(
        self, origin: Origin, room_id: Path[RoomID], event_id: Query[EventID]
    ) -> RoomStateIDs:
        """Give the same as event IDs."""
        at = await self.exports.state_ids_at(origin.server, room_id, event_id)
        return RoomStateIDs(list(at.state), list(at.auth_chain))
