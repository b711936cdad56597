"""Registering accounts.

https://spec.matrix.org/v1.19/client-server-api/#legacy-account-registration
"""

from dataclasses import dataclass
from typing import Any, Literal

from homeserver.http.authentication import no_auth
from homeserver.http.endpoint import Body, Query, endpoint
from homeserver.http.request import Request
from homeserver.protocol.errors import BadJson
from homeserver.protocol.identifiers import server_of
from homeserver.services.last_seen import Caller
from homeserver.services.registration import Registration
from homeserver.services.ui_auth import operation_of


@dataclass(frozen=True, slots=True)
class RegistrationApi:
    """Endpoints for people without an account."""

    registration: Registration

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/register",
        auth=no_auth,
        limit="registration",
        spec="client-server-api/#post_matrixclientv3register",
    )
    async def register(
        self, request: Request, body: Body[dict[str, Any]], kind: Query[Literal["user", "guest"]] = "user"
    ) -> dict[str, Any]:
        """Register an account, after user-interactive authentication."""
        caller = Caller(request.address, request.user_agent)
        if kind == "guest":
            display_name = body.get("initial_device_display_name")
            if display_name is not None and not isinstance(display_name, str):
                raise BadJson("`initial_device_display_name` must be a text")
            return (await self.registration.register_guest(display_name, caller)).answer()
        operation, auth = operation_of(request.method, request.target, body)
        registered = await self.registration.register(operation, auth, caller)
        if registered.logged_in is not None:
            return registered.logged_in.answer()
        return {"user_id": registered.user_id, "home_server": server_of(registered.user_id)}

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/register/available",
        auth=no_auth,
        limit="lookups",
        spec="client-server-api/#get_matrixclientv3registeravailable",
    )
    async def available(self, username: Query[str]) -> dict[str, Any]:
        """Tell whether a username could be registered."""
        self.registration.check_open()
        await self.registration.check_username(username)
        return {"available": True}

    @endpoint(
        "GET",
        "/_matrix/client/v1/register/m.login.registration_token/validity",
        auth=no_auth,
        limit="lookups",
        spec="client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity",
    )
    async def token_validity(self, token: Query[str]) -> dict[str, Any]:
        """Tell whether a registration token could be used now."""
        return {"valid": await self.registration.is_token_valid(token)}
