"""Room aliases.

https://spec.matrix.org/v1.19/client-server-api/#room-aliases
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.http.authentication import access_token, access_token_or_guest, no_auth
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import RoomAlias, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.aliases import Aliases


class AliasTarget(msgspec.Struct, frozen=True):
    """The room that an alias is to lead to."""

    room_id: RoomID


@dataclass(frozen=True, slots=True)
class AliasesApi:
    """Endpoints about aliases."""

    aliases: Aliases

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/directory/room/{room_alias}",
        auth=no_auth,
        limit="lookups",
        spec="client-server-api/#get_matrixclientv3directoryroomroomalias",
    )
    async def resolve(self, room_alias: Path[RoomAlias]) -> dict[str, Any]:
        """The room that an alias leads to, and servers that are in it."""
        resolved = await self.aliases.shown(room_alias)
        return {"room_id": resolved.room_id, "servers": list(resolved.servers)}

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0}/directory/room/{room_alias}",
        auth=access_token,
        limit="messages",
        spec="client-server-api/#put_matrixclientv3directoryroomroomalias",
    )
    async def create(self, who: Requester, room_alias: Path[RoomAlias], body: Body[AliasTarget]) -> None:
        """Make an alias."""
        await self.aliases.create(who, room_alias, body.room_id)

    @endpoint(
        "DELETE",
        "/_matrix/client/{v3,r0}/directory/room/{room_alias}",
        auth=access_token,
        spec="client-server-api/#delete_matrixclientv3directoryroomroomalias",
    )
    async def delete(self, who: Requester, room_alias: Path[RoomAlias]) -> None:
        """Remove an alias."""
        await self.aliases.delete(who, room_alias)

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/aliases",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3roomsroomidaliases",
    )
    async def of_room(self, who: Requester, room_id: Path[RoomID]) -> dict[str, Any]:
        """The aliases of this server that lead to a room."""
        return {"aliases": await self.aliases.of_room(who, room_id)}
