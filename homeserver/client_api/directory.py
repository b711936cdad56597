"""The directory of published rooms.

https://spec.matrix.org/v1.19/client-server-api/#published-room-directory
"""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from homeserver.http.authentication import (
    access_token,
    access_token_or_guest,
    no_auth,
    optional_access_token_or_guest,
)
from homeserver.http.decoding import Natural
from homeserver.http.endpoint import Body, Path, Query, endpoint
from homeserver.protocol.errors import MissingToken
from homeserver.protocol.identifiers import RoomID, ServerName
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.directory import Directory, DirectoryQuery
from homeserver.services.rooms.public_chunks import directory_answer

Visibility = Literal["public", "private"]


class RoomVisibility(msgspec.Struct, frozen=True):
    """Whether a room is listed."""

    visibility: Visibility = "public"


class DirectoryFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which rooms to list."""

    generic_search_term: str | None = None
    room_types: tuple[str | None, ...] | None = None


class DirectoryRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a search in the directory."""

    limit: int | None = None
    since: str | None = None
    filter: DirectoryFilter = DirectoryFilter()
    include_all_networks: bool = False
    third_party_instance_id: str | None = None


@dataclass(frozen=True, slots=True)
class DirectoryApi:
    """Endpoints about the directory."""

    directory: Directory

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/publicRooms",
        auth=optional_access_token_or_guest,
        limit="searches",
        spec="client-server-api/#get_matrixclientv3publicrooms",
    )
    async def public_rooms(
        self,
        who: Requester | None,
        limit: Query[Natural | None] = None,
        since: Query[str | None] = None,
        server: Query[ServerName | None] = None,
    ) -> dict[str, Any]:
        """A page of the published rooms, of this server or, for users, another one."""
        if who is None and server is not None:
            raise MissingToken
        return await self._page(server, DirectoryRequest(limit=limit, since=since))

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/publicRooms",
        auth=access_token_or_guest,
        limit="searches",
        spec="client-server-api/#post_matrixclientv3publicrooms",
    )
    async def search_public_rooms(
        self, who: Requester, body: Body[DirectoryRequest], server: Query[ServerName | None] = None
    ) -> dict[str, Any]:
        """A page of those published rooms that a filter selects."""
        return await self._page(server, body)

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/directory/list/room/{room_id}",
        auth=no_auth,
        limit="lookups",
        spec="client-server-api/#get_matrixclientv3directorylistroomroomid",
    )
    async def visibility(self, room_id: Path[RoomID]) -> RoomVisibility:
        """Whether a room is in the directory."""
        return RoomVisibility("public" if await self.directory.is_published(room_id) else "private")

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0}/directory/list/room/{room_id}",
        auth=access_token,
        limit="messages",
        spec="client-server-api/#put_matrixclientv3directorylistroomroomid",
    )
    async def set_visibility(self, who: Requester, room_id: Path[RoomID], body: Body[RoomVisibility]) -> None:
        """Put a room into the directory or take it out."""
        await self.directory.publish(who, room_id, body.visibility == "public")

    async def _page(self, server: ServerName | None, request: DirectoryRequest) -> dict[str, Any]:
        if server is not None:
            remote = await self.directory.remote_page(server, msgspec.to_builtins(request))
            if remote is not None:
                return remote
        query = DirectoryQuery(
            limit=request.limit,
            since=request.since,
            search=request.filter.generic_search_term or None,
            room_types=request.filter.room_types,
        )
        return directory_answer(await self.directory.page(query))
