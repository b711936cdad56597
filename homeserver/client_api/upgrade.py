"""Replacing a room by one of another version.

https://spec.matrix.org/v1.19/client-server-api/#room-upgrades
"""

from dataclasses import dataclass

import msgspec

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.upgrading import Upgrading


class Upgrade(msgspec.Struct, frozen=True):
    """The version of the new room, and who is to be its creator besides the user."""

    new_version: str
    additional_creators: tuple[UserID, ...] = ()


class Replacement(msgspec.Struct, frozen=True):
    """The new room."""

    replacement_room: RoomID


@dataclass(frozen=True, slots=True)
class UpgradeApi:
    """The endpoint that upgrades rooms."""

    upgrading: Upgrading

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/upgrade",
        auth=access_token,
        limit="creations",
        spec="client-server-api/#post_matrixclientv3roomsroomidupgrade",
    )
    async def upgrade(self, who: Requester, room_id: Path[RoomID], body: Body[Upgrade]) -> Replacement:
        """Replace a room by a new one."""
        replacement = await self.upgrading.upgrade(who, room_id, body.new_version, body.additional_creators)
        return Replacement(replacement)
