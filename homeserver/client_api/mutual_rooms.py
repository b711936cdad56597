"""Rooms shared with another user.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mutual_rooms
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Query, endpoint, named
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.mutual_rooms import MutualRooms


class Shared(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rooms that both are in."""

    joined: list[RoomID]
    count: int
    next_batch: str | None = None
    next_batch_token: str | None = None
    """The name that the proposal gave it."""


@dataclass(frozen=True, slots=True)
class MutualRoomsApi:
    """The endpoint, under its stable path and that of MSC2666."""

    mutual_rooms: MutualRooms

    @endpoint(
        "GET",
        "/_matrix/client/v1/mutual_rooms",
        "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms",
        auth=access_token,
        limit="searches",
        spec="client-server-api/#get_matrixclientv1mutual_rooms",
    )
    async def shared(
        self,
        who: Requester,
        user_id: Query[UserID],
        from_: Annotated[Query[str | None], named("from", "batch_token")] = None,
    ) -> Shared:
        """The rooms that both are in."""
        page = await self.mutual_rooms.page(who, user_id, from_)
        return Shared(page.rooms, page.count, page.next_batch, page.next_batch)
