"""Asking other servers for what is theirs: profiles, directories. https://spec.matrix.org/v1.19/server-server-api/"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from federation.client.errors import RemoteError
from federation.client.federation_client import FederationClient
from federation.wire.public_rooms import PUBLIC_ROOMS, SEARCH_PUBLIC_ROOMS, PublicRooms, PublicRoomsPage
from federation.wire.queries import PROFILE, ProfileQuery
from homeserver.protocol.canonical_json import is_canonical
from homeserver.protocol.errors import Forbidden, InvalidParam, NotFound
from homeserver.protocol.identifiers import ServerName, UserID, server_of
from homeserver.services.rooms.remote_cards import card_of

Content = dict[str, Any]

_NOT_OF_LISTS: Final = frozenset(("children_state", "allowed_room_ids", "encryption", "room_version"))


@dataclass(frozen=True, slots=True)
class RemoteQueries:
    """Questions that any server answers to any."""

    client: FederationClient

    async def profile(self, user_id: UserID, field: str | None) -> Content:
        """A user's profile, or one field of it. Raises NotFound, Forbidden, BadGateway."""
        try:
            answer = await self.client.request(
                PROFILE, server_of(user_id), query=ProfileQuery(user_id, field)
            )
        except RemoteError as error:
            if error.status == 404:
                raise NotFound("User not found") from error
            if error.status == 403:
                raise Forbidden(error.remote_error) from error
            raise
        return {name: value for name, value in answer.items() if _is_profile_field(name, value)}

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


def _is_profile_field(name: str, value: object) -> bool:
    if not is_canonical(value) or (name == "m.tz" and not isinstance(value, str)):
        return False
    if name == "avatar_url":
        return isinstance(value, str) and value.startswith("mxc://")
    return name != "displayname" or isinstance(value, str)


def _page(request: Content) -> PublicRoomsPage:
    known = {name: request[name] for name in PublicRoomsPage.__struct_fields__ if name in request}
    try:
        return msgspec.convert(known, PublicRoomsPage)
    except msgspec.ValidationError as error:
        raise InvalidParam(str(error)) from error


def _shown(page: PublicRooms) -> Content:
    """The page, with what is well formed of each room."""
    shown: Content = msgspec.to_builtins(page)
    cards = [card for card in map(card_of, page.chunk) if card is not None]
    if not is_canonical(page.total_room_count_estimate):
        del shown["total_room_count_estimate"]
    shown["chunk"] = [
        {name: value for name, value in card.items() if name not in _NOT_OF_LISTS} for card in cards
    ]
    return shown
