"""Telling other services who is behind an OpenID token.

https://spec.matrix.org/v1.19/server-server-api/#openid
"""

from dataclasses import dataclass

from federation.wire.openid import USER_INFO, UserInfo
from homeserver.http.authentication import no_auth
from homeserver.http.endpoint import Query, endpoint
from homeserver.protocol.errors import MissingToken
from homeserver.services.openid import OpenID


@dataclass(frozen=True, slots=True)
class OpenIDApi:
    """One endpoint, for whoever has a token."""

    openid: OpenID

    @endpoint(
        USER_INFO.method,
        USER_INFO.path,
        auth=no_auth,
        limit="lookups",
        spec="server-server-api/#get_matrixfederationv1openiduserinfo",
    )
    async def user_info(self, access_token: Query[str | None] = None) -> UserInfo:
        """Say whose an OpenID token is."""
        if access_token is None:
            raise MissingToken
        return UserInfo(await self.openid.user(access_token))
