"""Logging in and out, and refreshing tokens.

https://spec.matrix.org/v1.19/client-server-api/#legacy-api
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.http.authentication import access_token_or_guest, no_auth
from homeserver.http.endpoint import Body, endpoint
from homeserver.http.request import Request
from homeserver.protocol.errors import MissingParam, Unknown
from homeserver.protocol.identifiers import DeviceID
from homeserver.protocol.requester import Requester
from homeserver.services.devices import Devices
from homeserver.services.last_seen import Caller
from homeserver.services.login import Login, NewSession
from homeserver.services.login_tokens import LoginTokens
from homeserver.services.sessions import Sessions

PASSWORD = "m.login.password"
TOKEN = "m.login.token"


class LoginRequest(msgspec.Struct, frozen=True):
    """The body of a login. `user`, `medium` and `address` are the deprecated forms of `identifier`."""

    type: str
    identifier: dict[str, Any] | None = None
    user: str | None = None
    medium: str | None = None
    address: str | None = None
    password: str | None = None
    token: str | None = None
    device_id: DeviceID | None = None
    initial_device_display_name: str | None = None
    refresh_token: bool = False


class RefreshRequest(msgspec.Struct, frozen=True):
    """The body of a refresh."""

    refresh_token: str


@dataclass(frozen=True, slots=True)
class LoginApi:
    """Endpoints that start and end sessions."""

    login: Login
    sessions: Sessions
    devices: Devices
    login_tokens: LoginTokens

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/login",
        auth=no_auth,
        limit="lookups",
        spec="client-server-api/#get_matrixclientv3login",
    )
    async def flows(self) -> dict[str, Any]:
        """The ways to log in."""
        return {"flows": [{"type": PASSWORD}, {"type": TOKEN, "get_login_token": True}]}

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/login",
        auth=no_auth,
        limit="logins",
        spec="client-server-api/#post_matrixclientv3login",
    )
    async def log_in(self, request: Request, body: Body[LoginRequest]) -> dict[str, Any]:
        """Start a session."""
        if body.type not in (PASSWORD, TOKEN):
            raise Unknown("This server does not offer that way to log in")
        caller = Caller(request.address, request.user_agent)
        wanted = NewSession(body.device_id, body.initial_device_display_name, body.refresh_token, caller)
        if body.type == TOKEN:
            if body.token is None:
                raise MissingParam("Missing `token`")
            user_id = await self.login_tokens.redeem(body.token)
            return (await self.login.start(user_id, wanted)).answer()
        names = ("identifier", "user", "medium", "address", "password")
        credentials = {name: getattr(body, name) for name in names}
        logged_in = await self.login.by_password(credentials, wanted)
        return logged_in.answer()

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/refresh",
        "/_matrix/client/v1/refresh",
        auth=no_auth,
        limit="lookups",
        spec="client-server-api/#post_matrixclientv3refresh",
    )
    async def refresh(self, body: Body[RefreshRequest]) -> dict[str, Any]:
        """Exchange a refresh token for new tokens."""
        return (await self.sessions.refresh(body.refresh_token)).answer()

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/logout",
        auth=access_token_or_guest,
        spec="client-server-api/#post_matrixclientv3logout",
    )
    async def log_out(self, who: Requester) -> None:
        """End this session and remove its device."""
        await self.devices.log_out(who)

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/logout/all",
        auth=access_token_or_guest,
        spec="client-server-api/#post_matrixclientv3logoutall",
    )
    async def log_out_everywhere(self, who: Requester) -> None:
        """End all sessions of the user and remove all their devices."""
        await self.devices.remove_others(who.user_id, None)
