"""Users of other servers knock upon rooms by way of this one.

https://spec.matrix.org/v1.19/server-server-api/#knocking-rooms
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from federation.wire.joining import Template
from federation.wire.knocking import MAKE_KNOCK, SEND_KNOCK, Knocked
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.endpoint import Body, Path, Query, endpoint, named
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.services.rooms.resident import ResidentServer
from homeserver.services.rooms.room_preview import RoomPreview

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class KnockingApi:
    """The handshake."""

    resident: ResidentServer
    preview: RoomPreview

    @endpoint(
        MAKE_KNOCK.method,
        MAKE_KNOCK.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1make_knockroomiduserid",
    )
    async def make_knock(
        self,
        origin: Origin,
        room_id: Path[RoomID],
        user_id: Path[UserID],
        versions: Annotated[Query[tuple[str, ...]], named("ver")] = ("1",),
    ) -> Template:
        """Give the template of a knock."""
        template = await self.resident.template(origin.server, room_id, user_id, "knock", versions)
        return Template(template.event, template.room_version)

    @endpoint(
        SEND_KNOCK.method,
        SEND_KNOCK.path,
        auth=server_signature,
        spec=f"{_SPEC}put_matrixfederationv1send_knockroomideventid",
    )
    async def send_knock(
        self, origin: Origin, room_id: Path[RoomID], event_id: Path[str], body: Body[dict[str, Any]]
    ) -> Knocked:
        """Take a knock; gives what makes the room known."""
        knock = await self.resident.accept(origin.server, room_id, EventID(event_id), "knock", body)
        return Knocked(await self.preview.before(knock))
