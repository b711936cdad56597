"""Filters.

https://spec.matrix.org/v1.19/client-server-api/#filtering
"""

from dataclasses import dataclass
from typing import Any

from homeserver.http.authentication import access_token_or_guest
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from homeserver.services.filters import Filters


@dataclass(frozen=True, slots=True)
class FiltersApi:
    """Endpoints about stored filters."""

    filters: Filters

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/user/{user_id}/filter",
        auth=access_token_or_guest,
        spec="client-server-api/#post_matrixclientv3useruseridfilter",
    )
    async def create(
        self, who: Requester, user_id: Path[UserID], body: Body[dict[str, Any]]
    ) -> dict[str, Any]:
        """Store a filter."""
        return {"filter_id": await self.filters.create(who, user_id, body)}

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/user/{user_id}/filter/{filter_id}",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3useruseridfilterfilterid",
    )
    async def one(self, who: Requester, user_id: Path[UserID], filter_id: Path[str]) -> RawJson:
        """A stored filter."""
        return RawJson(await self.filters.content(who, user_id, filter_id))
