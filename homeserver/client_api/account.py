"""A user's own account.

https://spec.matrix.org/v1.19/client-server-api/#account-management
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from homeserver.http.authentication import access_token_or_guest, optional_access_token
from homeserver.http.endpoint import Body, endpoint
from homeserver.http.request import Request
from homeserver.protocol.errors import BadJson, MissingParam
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from homeserver.services.accounts import Accounts
from homeserver.services.threepids import EMAIL_IDENTITY
from homeserver.services.ui_auth import Flow, Proof, UiAuth, operation_of
from homeserver.services.ui_auth_stages import PASSWORD

T = TypeVar("T")


class PasswordChange(msgspec.Struct, frozen=True):
    """The body of a change of password, its `auth` aside."""

    new_password: str
    logout_devices: bool = True


class Deactivation(msgspec.Struct, frozen=True):
    """The body of a deactivation, its `auth` aside. There are no third-party identifiers that `id_server`
    could unbind.
    """

    id_server: str | None = None
    erase: bool = False


@dataclass(frozen=True, slots=True)
class AccountApi:
    """Endpoints about the account as a whole."""

    accounts: Accounts
    ui_auth: UiAuth
    password_flows: tuple[Flow, ...] = ((PASSWORD,),)

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/account/whoami",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3accountwhoami",
    )
    async def whoami(self, who: Requester) -> dict[str, Any]:
        """Who an access token stands for."""
        answer: dict[str, Any] = {"user_id": who.user_id, "is_guest": who.is_guest}
        if who.device_id is not None:
            answer["device_id"] = who.device_id
        return answer

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/account/password",
        auth=optional_access_token,
        limit="logins",
        spec="client-server-api/#post_matrixclientv3accountpassword",
    )
    async def change_password(
        self, who: Requester | None, request: Request, body: Body[dict[str, Any]]
    ) -> None:
        """Change the password, after user-interactive authentication."""
        if "new_password" not in body and "auth" not in body:
            raise MissingParam("Missing `new_password`")
        proof, user_id = await self._proven(who, request, body, self.password_flows)
        change = _read(proof.body, PasswordChange)
        await self.accounts.set_password(
            user_id, change.new_password, log_out=change.logout_devices, keep=who
        )

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/account/deactivate",
        auth=optional_access_token,
        limit="logins",
        spec="client-server-api/#post_matrixclientv3accountdeactivate",
    )
    async def deactivate(
        self, who: Requester | None, request: Request, body: Body[dict[str, Any]]
    ) -> dict[str, Any]:
        """Close the account for ever, after user-interactive authentication."""
        proof, user_id = await self._proven(who, request, body, ((PASSWORD,),))
        await self.accounts.deactivate(user_id, erase=_read(proof.body, Deactivation).erase)
        return {"id_server_unbind_result": "success"}

    async def _proven(
        self, who: Requester | None, request: Request, body: dict[str, Any], flows: tuple[Flow, ...]
    ) -> tuple[Proof, UserID]:
        """Whoever has no access token is the one whose password they know, or whose mails they read."""
        asked_by = None if who is None else who.user_id
        operation, auth = operation_of(request.method, request.target, body, asked_by)
        proof = await self.ui_auth.prove(operation, auth, flows)
        findings = proof.findings
        return proof, asked_by or UserID(findings.get(PASSWORD) or findings[EMAIL_IDENTITY])


def _read(body: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        raise (MissingParam if "missing required field" in message else BadJson)(message) from None
