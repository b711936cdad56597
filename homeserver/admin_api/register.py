"""Registering accounts by shared secret, at the path where the tools that people use expect it."""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.http.authentication import no_auth
from homeserver.http.endpoint import Body, endpoint
from homeserver.http.request import Request
from homeserver.services.last_seen import Caller
from homeserver.services.shared_secret_registration import SharedSecretRegistration, SignedRequest

_PATH = "/_synapse/admin/v1/register"
_SPEC = "https://element-hq.github.io/synapse/latest/admin_api/register_api.html"


class RegisterRequest(msgspec.Struct, frozen=True):
    """The body: the account and its MAC."""

    nonce: str
    username: str
    password: str
    mac: str
    admin: bool = False
    user_type: str | None = None


@dataclass(frozen=True, slots=True)
class RegisterApi:
    """Endpoints for an administrator's tools, which know the shared secret."""

    registration: SharedSecretRegistration

    @endpoint("GET", _PATH, auth=no_auth, limit="registration", spec=_SPEC)
    async def nonce(self) -> dict[str, Any]:
        """A nonce for one registration."""
        return {"nonce": await self.registration.nonce()}

    @endpoint("POST", _PATH, auth=no_auth, limit="registration", spec=_SPEC)
    async def register(self, http: Request, body: Body[RegisterRequest]) -> dict[str, Any]:
        """Register an account and log in."""
        request = SignedRequest(
            body.nonce, body.username, body.password, body.mac, body.admin, body.user_type
        )
        return (await self.registration.register(request, Caller(http.address, http.user_agent))).answer()
