"""Who is in which room.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers
"""

from dataclasses import dataclass
from typing import Any, Literal

from homeserver.http.authentication import access_token_or_guest
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import parse_page_token
from homeserver.services.rooms.rendering import Renderer, Viewer
from homeserver.services.rooms.state_reading import StateReading

MembershipName = Literal["join", "invite", "knock", "leave", "ban"]


@dataclass(frozen=True, slots=True)
class MembersApi:
    """Endpoints that list members and rooms."""

    state_reading: StateReading
    renderer: Renderer

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/members",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3roomsroomidmembers",
    )
    async def members(
        self,
        who: Requester,
        room_id: Path[RoomID],
        at: Query[str | None] = None,
        membership: Query[MembershipName | None] = None,
        not_membership: Query[MembershipName | None] = None,
    ) -> RawJson:
        """The membership events of a room."""
        place = parse_page_token(at) if at else None
        events = await self.state_reading.members(who, room_id, place, membership, not_membership)
        return RawJson(b'{"chunk":[%b]}' % b",".join(await self.renderer.state(events, Viewer.of(who))))

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/joined_members",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3roomsroomidjoined_members",
    )
    async def joined_members(self, who: Requester, room_id: Path[RoomID]) -> dict[str, Any]:
        """The joined members of a room, with their names and avatars."""
        rows = await self.state_reading.joined_members(who, room_id)
        return {"joined": {row.user_id: _looks(row.displayname, row.avatar_url) for row in rows}}

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/joined_rooms",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3joined_rooms",
    )
    async def joined_rooms(self, who: Requester) -> dict[str, Any]:
        """The rooms that the user is in."""
        return {"joined_rooms": await self.state_reading.joined_rooms(who.user_id)}


def _looks(displayname: str | None, avatar_url: str | None) -> dict[str, str]:
    """How a member wants to be shown; what is not set is left out."""
    looks = {"display_name": displayname, "avatar_url": avatar_url}
    return {name: value for name, value in looks.items() if value is not None}
