"""Spaces, and the summaries of rooms.

https://spec.matrix.org/v1.19/client-server-api/#spaces
"""

from dataclasses import dataclass
from typing import Annotated, Any

from homeserver.http.authentication import access_token_or_guest, optional_access_token_or_guest
from homeserver.http.decoding import Natural
from homeserver.http.endpoint import Path, Query, endpoint, named
from homeserver.protocol.identifiers import RoomID, RoomIDOrAlias, ServerName
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.hierarchy import Hierarchy
from homeserver.services.rooms.room_summaries import RoomSummaries


@dataclass(frozen=True, slots=True)
class SpacesApi:
    """Endpoints that show rooms to those who may want to join them."""

    hierarchy: Hierarchy
    summaries: RoomSummaries

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{room_id}/hierarchy",
        "/_matrix/client/unstable/org.matrix.msc2946/rooms/{room_id}/hierarchy",
        auth=access_token_or_guest,
        limit="searches",
        spec="client-server-api/#get_matrixclientv1roomsroomidhierarchy",
    )
    async def rooms_below(
        self,
        who: Requester,
        room_id: Path[RoomID],
        suggested_only: Query[bool] = False,
        limit: Query[Natural | None] = None,
        max_depth: Query[Natural | None] = None,
        from_: Query[str | None] = None,
    ) -> dict[str, Any]:
        """A page of the rooms below a space."""
        page = await self.hierarchy.page(
            who, room_id, suggested_only=suggested_only, limit=limit, max_depth=max_depth, start=from_
        )
        answer: dict[str, Any] = {"rooms": page.rooms}
        if page.next_batch is not None:
            answer["next_batch"] = page.next_batch
        return answer

    @endpoint(
        "GET",
        "/_matrix/client/v1/room_summary/{room_id_or_alias}",
        "/_matrix/client/unstable/im.nheko.summary/summary/{room_id_or_alias}",
        "/_matrix/client/unstable/im.nheko.summary/rooms/{room_id_or_alias}/summary",
        auth=optional_access_token_or_guest,
        limit="lookups",
        spec="client-server-api/#get_matrixclientv1room_summaryroomidoralias",
    )
    async def summary(
        self,
        who: Requester | None,
        room_id_or_alias: Path[RoomIDOrAlias],
        via: Annotated[Query[tuple[ServerName, ...]], named("via", "server_name")] = (),
    ) -> dict[str, Any]:
        """What may be known of a room before joining it."""
        return await self.summaries.summary(who, room_id_or_alias, via)
