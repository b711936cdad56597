"""Tokens by which other services learn who a user is.

https://spec.matrix.org/v1.19/client-server-api/#openid
"""

from dataclasses import dataclass
from typing import Any

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.errors import Forbidden
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from homeserver.services.openid import OpenID


@dataclass(frozen=True, slots=True)
class OpenIDApi:
    """One endpoint."""

    openid: OpenID

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/user/{user_id}/openid/request_token",
        auth=access_token,
        limit="profile",
        empty_body_ok=True,
        spec="client-server-api/#post_matrixclientv3useruseridopenidrequest_token",
    )
    async def request_token(
        self, who: Requester, user_id: Path[UserID], body: Body[dict[str, Any]]
    ) -> dict[str, Any]:
        """A token that proves to others who the user is."""
        if user_id != who.user_id:
            raise Forbidden("You can ask for tokens of yourself only")
        return await self.openid.issue(who.user_id)
