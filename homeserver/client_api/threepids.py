"""Users' e-mail addresses, and the mails that prove them.

https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from homeserver.http.authentication import access_token, no_auth
from homeserver.http.encoding import Response, page
from homeserver.http.endpoint import Body, Query, endpoint
from homeserver.http.request import Request
from homeserver.protocol.errors import (
    BadJson,
    InvalidParam,
    MissingParam,
    ThreepidDenied,
    ThreepidMediumNotSupported,
)
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.requester import Requester
from homeserver.services.email_proofs import CONFIRM_PATH, Asked, EmailProofs, Purpose, checked_address
from homeserver.services.threepids import Threepids
from homeserver.services.ui_auth import UiAuth, operation_of
from homeserver.services.ui_auth_stages import PASSWORD
from homeserver.templates.rendering import rendered

PAGE_POLICY = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


class TokenRequest(msgspec.Struct, frozen=True):
    """The body of a request for a mail. What is of identity servers is not used, and `next_link` only checked: whoever
    confirmed an address stays on our page, which nobody can have lead to theirs.
    """

    client_secret: str
    email: str
    send_attempt: int
    next_link: str | None = None
    id_server: str | None = None
    id_access_token: str | None = None

    def asked(self, purpose: Purpose) -> Asked:
        """What is asked for. Raises InvalidParam."""
        if self.next_link is not None and not _is_web_page(self.next_link):
            raise InvalidParam("`next_link` must be the address of a web page")
        return Asked(purpose, checked_address(self.email), self.client_secret, self.send_attempt)


class Addition(msgspec.Struct, frozen=True):
    """The body of an addition, its `auth` aside."""

    client_secret: str
    sid: str


class Removal(msgspec.Struct, frozen=True):
    """The body of a removal. No address is on an identity server by us."""

    medium: str
    address: str
    id_server: str | None = None


class Binding(Addition, frozen=True):
    """The body of a binding to an identity server."""

    id_server: str
    id_access_token: str


@dataclass(frozen=True, slots=True)
class ThreepidsApi:
    """Endpoints about addresses."""

    threepids: Threepids
    ui_auth: UiAuth

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/account/3pid",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3account3pid",
    )
    async def all_of_user(self, who: Requester) -> dict[str, Any]:
        """The user's addresses."""
        return {
            "threepids": [
                {
                    "medium": row.medium,
                    "address": row.address,
                    "validated_at": row.validated_ts,
                    "added_at": row.added_ts,
                }
                for row in await self.threepids.of_user(who.user_id)
            ]
        }

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/account/3pid/add",
        auth=access_token,
        limit="logins",
        spec="client-server-api/#post_matrixclientv3account3pidadd",
    )
    async def add(self, who: Requester, request: Request, body: Body[dict[str, Any]]) -> None:
        """Add an address that was confirmed, after user-interactive authentication."""
        await self._add(who, request, body, lambda given: given)

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/account/3pid",
        auth=access_token,
        limit="logins",
        spec="client-server-api/#post_matrixclientv3account3pid",
    )
    async def add_as_of_old(self, who: Requester, request: Request, body: Body[dict[str, Any]]) -> None:
        """The same, for older clients. Nothing is bound to an identity server."""
        await self._add(who, request, body, _of_old)

    async def _add(
        self, who: Requester, request: Request, body: dict[str, Any], read: Callable[[Any], Any]
    ) -> None:
        if "auth" not in body:
            _addition(read(body))
        operation, auth = operation_of(request.method, request.target, body, who.user_id)
        proof = await self.ui_auth.prove(operation, auth, ((PASSWORD,),))
        addition = _addition(read(proof.body))
        await self.threepids.add(who.user_id, addition.sid, addition.client_secret)

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/account/3pid/bind",
        auth=access_token,
        limit="profile",
        spec="client-server-api/#post_matrixclientv3account3pidbind",
    )
    async def bind(self, who: Requester, body: Body[Binding]) -> dict[str, Any]:
        """Refuse: this server speaks to no identity servers for its users."""
        raise ThreepidDenied("This server does not publish addresses on identity servers")

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/account/3pid/unbind",
        auth=access_token,
        limit="profile",
        spec="client-server-api/#post_matrixclientv3account3pidunbind",
    )
    async def unbind(self, who: Requester, body: Body[Removal]) -> dict[str, Any]:
        """Nothing was bound by us, so that there is nothing to do."""
        return {"id_server_unbind_result": "no-support"}

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/account/3pid/delete",
        auth=access_token,
        limit="profile",
        spec="client-server-api/#post_matrixclientv3account3piddelete",
    )
    async def delete(self, who: Requester, body: Body[Removal]) -> dict[str, Any]:
        """Take an address from the account."""
        await self.threepids.remove(who.user_id, body.medium, body.address)
        return {"id_server_unbind_result": "no-support"}

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/account/3pid/email/requestToken",
        auth=no_auth,
        limit="registration",
        spec="client-server-api/#post_matrixclientv3account3pidemailrequesttoken",
    )
    async def mail_for_addition(self, body: Body[TokenRequest]) -> dict[str, Any]:
        """Have a mail sent to an address that is to be added to an account."""
        return {"sid": await self.threepids.ask(body.asked(Purpose.ADDING))}

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/account/password/email/requestToken",
        auth=no_auth,
        limit="registration",
        spec="client-server-api/#post_matrixclientv3accountpasswordemailrequesttoken",
    )
    async def mail_for_password(self, body: Body[TokenRequest]) -> dict[str, Any]:
        """Have a mail sent to set a new password with."""
        return {"sid": await self.threepids.ask(body.asked(Purpose.PASSWORD))}

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/register/email/requestToken",
        auth=no_auth,
        limit="registration",
        spec="client-server-api/#post_matrixclientv3registeremailrequesttoken",
    )
    async def mail_for_registration(self, body: Body[TokenRequest]) -> dict[str, Any]:
        """Have a mail sent to register with."""
        return {"sid": await self.threepids.ask(body.asked(Purpose.REGISTRATION))}

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/account/3pid/msisdn/requestToken",
        "/_matrix/client/{v3,r0}/account/password/msisdn/requestToken",
        "/_matrix/client/{v3,r0}/register/msisdn/requestToken",
        auth=no_auth,
        limit="registration",
        spec="client-server-api/#post_matrixclientv3account3pidmsisdnrequesttoken",
    )
    async def message_to_phone(self, body: Body[dict[str, Any]]) -> dict[str, Any]:
        """Refuse: this server sends nothing to phone numbers."""
        raise ThreepidMediumNotSupported("This server does not deal with phone numbers")


@dataclass(frozen=True, slots=True)
class ConfirmEmailApi:
    """The page behind the link of a mail. It is our own."""

    server_name: ServerName
    proofs: EmailProofs

    @endpoint("GET", CONFIRM_PATH, auth=no_auth, limit="lookups", spec="")
    async def ask(self, request: Request, sid: Query[str], token: Query[str]) -> Response:
        """Ask whoever followed the link to press a button."""
        action = f"?{request.target.partition('?')[2]}"
        html = rendered("confirm_email.html.j2", server_name=self.server_name, state="asked", action=action)
        return page(html, headers=PAGE_POLICY)

    @endpoint("POST", CONFIRM_PATH, auth=no_auth, limit="logins", spec="")
    async def confirm(self, sid: Query[str], token: Query[str]) -> Response:
        """The button was pressed."""
        done = await self.proofs.confirm(sid, token)
        state = "done" if done else "failed"
        html = rendered("confirm_email.html.j2", server_name=self.server_name, state=state)
        return page(html, 200 if done else 400, PAGE_POLICY)


def _of_old(body: Any) -> Any:
    """What the older form of an addition has around it. Raises MissingParam."""
    given = body.get("three_pid_creds", body.get("threePidCreds"))
    if given is None:
        raise MissingParam("Missing `three_pid_creds`")
    return given


def _is_web_page(link: str) -> bool:
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and bool(parts.hostname) and link.isprintable()


def _addition(body: Any) -> Addition:
    try:
        return msgspec.convert(body, Addition)
    except msgspec.ValidationError as error:
        message = str(error)
        raise (MissingParam if "missing required field" in message else BadJson)(message) from None
