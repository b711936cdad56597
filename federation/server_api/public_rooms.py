"""The published rooms of this server. https://spec.matrix.org/v1.19/server-server-api/#public-room-directory"""

from dataclasses import dataclass
from typing import Any, Final

from federation.wire.public_rooms import PUBLIC_ROOMS, SEARCH_PUBLIC_ROOMS, PublicRoomsSearch
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.decoding import Natural
from homeserver.http.endpoint import Body, Query, endpoint
from homeserver.services.rooms.directory import Directory, DirectoryQuery
from homeserver.services.rooms.public_chunks import directory_answer

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class PublicRoomsApi:
    """Both forms."""

    list_rooms: Directory

    @endpoint(
        PUBLIC_ROOMS.method,
        PUBLIC_ROOMS.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1publicrooms",
    )
    async def public_rooms(
        self, origin: Origin, limit: Query[Natural | None] = None, since: Query[str | None] = None
    ) -> dict[str, Any]:
        """Give a page of the directory."""
        return directory_answer(await self.list_rooms.page(DirectoryQuery(limit=limit, since=since)))

    @endpoint(
        SEARCH_PUBLIC_ROOMS.method,
        SEARCH_PUBLIC_ROOMS.path,
        auth=server_signature,
        spec=f"{_SPEC}post_matrixfederationv1publicrooms",
        empty_body_ok=True,
    )
    async def search_public_rooms(self, origin: Origin, body: Body[PublicRoomsSearch]) -> dict[str, Any]:
        """Give a page of those rooms in the directory that pass a filter."""
        wanted = body.filter or {}
        term, types = wanted.get("generic_search_term"), wanted.get("room_types")
        query = DirectoryQuery(
            limit=body.limit,
            since=body.since,
            search=term if isinstance(term, str) else None,
            room_types=(
                [each for each in types if each is None or isinstance(each, str)]
                if isinstance(types, list)
                else None
            ),
        )
        return directory_answer(await self.list_rooms.page(query))
