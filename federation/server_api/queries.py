"""Questions about aliases and profiles of this server.
https://spec.matrix.org/v1.19/server-server-api/#querying-for-information
"""

from dataclasses import dataclass
from typing import Any, Final

from federation.wire.queries import DIRECTORY, PROFILE, AliasAnswer
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.endpoint import Query, endpoint
from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import RoomAlias, ServerName, UserID, server_of
from homeserver.services.profiles import Profiles
from homeserver.services.rooms.aliases import Aliases

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class QueriesApi:
    """What any server may ask."""

    server_name: ServerName
    aliases: Aliases
    profiles: Profiles

    @endpoint(
        DIRECTORY.method,
        DIRECTORY.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1querydirectory",
    )
    async def directory(self, origin: Origin, room_alias: Query[RoomAlias]) -> AliasAnswer:
        """Give the room of an alias of this server."""
        if server_of(room_alias) != self.server_name:
            raise NotFound("The alias is not one of this server")
        resolved = await self.aliases.shown(room_alias)
        return AliasAnswer(resolved.room_id, list(resolved.servers))

    @endpoint(
        PROFILE.method,
        PROFILE.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1queryprofile",
    )
    async def profile(
        self, origin: Origin, user_id: Query[UserID], field: Query[str | None] = None
    ) -> dict[str, Any]:
        """Give the profile of a user of this server, or a field of it."""
        if server_of(user_id) != self.server_name:
            raise NotFound("The user is not one of this server")
        profile = await self.profiles.local(user_id)
        if field is None:
            return profile
        return {field: profile[field]} if field in profile else {}
