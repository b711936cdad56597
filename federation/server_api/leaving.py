"""Users of other servers leave, reject invites and take back knocks by way of this one.

https://spec.matrix.org/v1.19/server-server-api/#leaving-rooms-rejecting-invites
"""

from dataclasses import dataclass
from typing import Any, Final

from federation.wire.joining import Template
from federation.wire.leaving import MAKE_LEAVE, SEND_LEAVE, SEND_LEAVE_V1
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.services.rooms.resident import ResidentServer

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class LeavingApi:
    """The handshake."""

    resident: ResidentServer

    @endpoint(
        MAKE_LEAVE.method,
        MAKE_LEAVE.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1make_leaveroomiduserid",
    )
    async def make_leave(self, origin: Origin, room_id: Path[RoomID], user_id: Path[UserID]) -> Template:
        """Give the template of a leave."""
        template = await self.resident.template(origin.server, room_id, user_id, "leave")
        return Template(template.event, template.room_version)

    @endpoint(
        SEND_LEAVE.method,
        SEND_LEAVE.path,
        auth=server_signature,
        spec=f"{_SPEC}put_matrixfederationv2send_leaveroomideventid",
    )
    async def send_leave(
        self, origin: Origin, room_id: Path[RoomID], event_id: Path[str], body: Body[dict[str, Any]]
    ) -> None:
        """Take a leave."""
        await self.resident.accept(origin.server, room_id, EventID(event_id), "leave", body)

    @endpoint(
        SEND_LEAVE_V1.method,
        SEND_LEAVE_V1.path,
        auth=server_signature,
        spec=f"{_SPEC}put_matrixfederationv1send_leaveroomideventid",
    )
    async def send_leave_v1(
        self, origin: Origin, room_id: Path[RoomID], event_id: Path[str], body: Body[dict[str, Any]]
    ) -> list[Any]:
        """The same for old servers."""
        await self.resident.accept(origin.server, room_id, EventID(event_id), "leave", body)
        return [200, {}]
