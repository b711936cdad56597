"""Spaces of this server. https://spec.matrix.org/v1.19/server-server-api/#spaces"""

from dataclasses import dataclass
from typing import Any

from federation.wire.public_rooms import HIERARCHY
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.identifiers import RoomID
from homeserver.services.rooms.hierarchy import Hierarchy
from homeserver.services.rooms.server_access import ServerAccess


@dataclass(frozen=True, slots=True)
class SpacesApi:
    """What other servers may know of a space."""

    access: ServerAccess
    hierarchy: Hierarchy

    @endpoint(
        HIERARCHY.method,
        HIERARCHY.path,
        auth=server_signature,
        spec="server-server-api/#get_matrixfederationv1hierarchyroomid",
    )
    async def rooms_below(
        self, origin: Origin, room_id: Path[RoomID], suggested_only: Query[bool] = False
    ) -> dict[str, Any]:
        """Give a space and its children."""
        await self.access.participating(room_id, origin.server)
        return await self.hierarchy.for_server(origin.server, room_id, suggested_only=suggested_only)
