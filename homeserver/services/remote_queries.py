"""Asking other servers for what is theirs: profiles, directories. https://spec.matrix.org/v1.19/server-server-api/"""

from dataclasses import dataclass
from typing import Any

import msgspec

from federation.client.errors import RemoteError
from federation.client.federation_client import FederationClient
from federation.wire.public_rooms import PUBLIC_ROOMS, SEARCH_PUBLIC_ROOMS, PublicRooms, PublicRoomsPage
from federation.wire.queries import PROFILE, ProfileQuery
from homeserver.protocol.errors import Forbidden, InvalidParam, NotFound
from homeserver.protocol.identifiers import ServerName, UserID, server_of

Content = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RemoteQueries:
    """Questions that any server answers to any."""

    client: FederationClient

    async def profile(self, user_id: UserID, field: str | None) -> Content:
        """A user's profile, or one field of it. Raises NotFound, Forbidden, BadGateway."""
        try:
            return await self.client.request(PROFILE, server_of(user_id), query=ProfileQuery(user_id, field))
        except RemoteError as error:
            if error.status == 404:
                raise NotFound("User not found") from error
            if error.status == 403:
                raise Forbidden(error.remote_error) from error
            raise

    async def public_rooms(self, server: ServerName, request: Content) -> Content:
        """A page of a server's published rooms. Raises NotFound, Forbidden, InvalidParam, BadGateway."""
        try:
            if request.get("filter"):
                page = await self.client.request(SEARCH_PUBLIC_ROOMS, server, body=request)
            else:
                page = await self.client.request(PUBLIC_ROOMS, server, query=_page(request))
        except RemoteError as error:
            if error.status == 404:
                raise NotFound(error.remote_error) from error
            if error.status == 403:
                raise Forbidden(error.remote_error) from error
            if error.status == 400:
                raise InvalidParam(error.remote_error) from error
            raise
        return _shown(page)


def _page(request: Content) -> PublicRoomsPage:
    known = {name: request[name] for name in PublicRoomsPage.__struct_fields__ if name in request}
    try:
        return msgspec.convert(known, PublicRoomsPage)
    except msgspec.ValidationError as error:
        raise InvalidParam(str(error)) from error


def _shown(page: PublicRooms) -> Content:
    shown: Content = msgspec.to_builtins(page)
    return shown
