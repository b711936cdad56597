"""Letting another device log in.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv1loginget_token
"""

from dataclasses import dataclass
from typing import Any

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, endpoint
from homeserver.http.request import Request
from homeserver.protocol.requester import Requester
from homeserver.services.login_tokens import LIFETIME_MS, LoginTokens
from homeserver.services.ui_auth import UiAuth, operation_of
from homeserver.services.ui_auth_stages import PASSWORD


@dataclass(frozen=True, slots=True)
class LoginTokensApi:
    """One endpoint."""

    login_tokens: LoginTokens
    ui_auth: UiAuth

    @endpoint(
        "POST",
        "/_matrix/client/v1/login/get_token",
        auth=access_token,
        limit="logins",
        spec="client-server-api/#post_matrixclientv1loginget_token",
    )
    async def token(self, who: Requester, request: Request, body: Body[dict[str, Any]]) -> dict[str, Any]:
        """A token for another device to log in with, after user-interactive authentication."""
        operation, auth = operation_of(request.method, request.target, body, who.user_id)
        await self.ui_auth.prove(operation, auth, ((PASSWORD,),))
        return {"login_token": await self.login_tokens.issue(who.user_id), "expires_in_ms": LIFETIME_MS}
