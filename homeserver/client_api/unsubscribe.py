"""The page behind the link that ends mails about unread messages. It is our own.

A look at the page ends nothing: programs look at links in mails. A POST does, with whatever body: mail programs send
one when their own button is pressed (https://www.rfc-editor.org/rfc/rfc8058).
"""

from dataclasses import dataclass

from homeserver.client_api.threepids import PAGE_POLICY
from homeserver.http.authentication import no_auth
from homeserver.http.encoding import Response, page
from homeserver.http.endpoint import Query, endpoint
from homeserver.http.request import Request
from homeserver.protocol.identifiers import ServerName
from homeserver.services.push.unsubscribing import UNSUBSCRIBE_PATH, Unsubscribing
from homeserver.templates.rendering import rendered

_TEMPLATE = "unsubscribe.html.j2"


@dataclass(frozen=True, slots=True)
class UnsubscribeApi:
    """The page, and what its button does."""

    server_name: ServerName
    unsubscribing: Unsubscribing

    @endpoint("GET", UNSUBSCRIBE_PATH, auth=no_auth, limit="lookups", spec="")
    async def ask(self, request: Request, token: Query[str]) -> Response:
        """Ask whoever followed the link to press a button."""
        action = f"?{request.target.partition('?')[2]}"
        html = rendered(_TEMPLATE, server_name=self.server_name, state="asked", action=action)
        return page(html, headers=PAGE_POLICY)

    @endpoint("POST", UNSUBSCRIBE_PATH, auth=no_auth, limit="lookups", spec="")
    async def end(self, token: Query[str]) -> Response:
        """The button was pressed, here or in a mail program."""
        done = await self.unsubscribing.end(token)
        html = rendered(_TEMPLATE, server_name=self.server_name, state="done" if done else "failed")
        return page(html, 200 if done else 400, PAGE_POLICY)
