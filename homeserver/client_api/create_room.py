"""Making rooms.

https://spec.matrix.org/v1.19/client-server-api/#creation
"""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from homeserver.gateways.identity_server import Threepid
from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, endpoint
from homeserver.protocol.errors import ThreepidDenied
from homeserver.protocol.identifiers import RoomID, ServerName, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.creation import Creation
from homeserver.services.rooms.new_room import NewRoom, Preset, StateEntry
from homeserver.services.rooms.third_party_invites import ThirdPartyInvites


class InitialState(msgspec.Struct, frozen=True):
    """One event of `initial_state`."""

    type: str
    content: dict[str, Any]
    state_key: str = ""


class ThreepidToInvite(msgspec.Struct, frozen=True):
    """Somebody to invite of whom an address is known."""

    id_server: ServerName
    id_access_token: str
    medium: str
    address: str

    def threepid(self) -> Threepid:
        """As the service takes it."""
        return Threepid(self.id_server, self.id_access_token, self.medium, self.address)


class RoomToCreate(msgspec.Struct, frozen=True):
    """The body of a creation."""

    visibility: Literal["public", "private"] = "private"
    room_alias_name: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: tuple[UserID, ...] = ()
    invite_3pid: tuple[ThreepidToInvite, ...] = ()
    room_version: str | None = None
    creation_content: dict[str, Any] = {}
    initial_state: tuple[InitialState, ...] = ()
    preset: Preset | None = None
    is_direct: bool = False
    power_level_content_override: dict[str, Any] = {}


class CreatedRoom(msgspec.Struct, frozen=True):
    """The answer to a creation."""

    room_id: RoomID


@dataclass(frozen=True, slots=True)
class CreateRoomApi:
    """The endpoint that makes rooms."""

    creation: Creation
    third_party: ThirdPartyInvites | None = None

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/createRoom",
        auth=access_token,
        limit="creations",
        spec="client-server-api/#post_matrixclientv3createroom",
    )
    async def create_room(self, who: Requester, body: Body[RoomToCreate]) -> CreatedRoom:
        """Make a room."""
        third_party = self.third_party
        if third_party is None:
            if body.invite_3pid:
                raise ThreepidDenied("This server does not talk with identity servers")
            return CreatedRoom(await self.creation.create(who, _new_room(body), body.room_version))
        room_id = await self.creation.create(who, _new_room(body), body.room_version)
        for wish in body.invite_3pid:
            await third_party.invite(who, room_id, wish.threepid())
        return CreatedRoom(room_id)


def _new_room(body: RoomToCreate) -> NewRoom:
    public = body.visibility == "public"
    return NewRoom(
        preset=body.preset or ("public_chat" if public else "private_chat"),
        published=public,
        alias_localpart=body.room_alias_name,
        name=body.name,
        topic=body.topic,
        invite=body.invite,
        is_direct=body.is_direct,
        creation_content=body.creation_content,
        initial_state=tuple(
            StateEntry(entry.type, entry.state_key, entry.content) for entry in body.initial_state
        ),
        power_levels=body.power_level_content_override,
    )
