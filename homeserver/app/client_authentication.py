"""Who makes a client's request: the authenticators of the markers that client endpoints declare."""

from collections.abc import Mapping

from homeserver.http.authentication import (
    Marker,
    access_token,
    access_token_or_guest,
    admin_token,
    bearer_token,
    optional_access_token,
    optional_access_token_or_guest,
)
from homeserver.http.pipeline import Authenticator
from homeserver.http.request import Request
from homeserver.protocol.errors import Forbidden, GuestAccessForbidden, MissingToken
from homeserver.protocol.requester import Requester
from homeserver.services.last_seen import Caller, LastSeen
from homeserver.services.sessions import Sessions

_EVEN_LOCKED = ("/logout", "/logout/all")
"""https://spec.matrix.org/v1.19/client-server-api/#account-locking"""


class ClientAuthentication:
    """Tells users by their access tokens, and takes note that they were here."""

    def __init__(self, sessions: Sessions, last_seen: LastSeen, *, tokens_in_query: bool) -> None:
        self._sessions = sessions
        self._last_seen = last_seen
        self._tokens_in_query = tokens_in_query

    def authenticators(self) -> Mapping[Marker, Authenticator]:
        """The authenticator of each marker."""
        return {
            access_token: self.user,
            access_token_or_guest: self.user_or_guest,
            optional_access_token: self.user_or_nobody,
            optional_access_token_or_guest: self.anybody,
            admin_token: self.admin,
        }

    async def user_or_guest(self, request: Request) -> Requester:
        """Any user. Raises MissingToken, UnknownToken, UserLocked."""
        query = request.query.get("access_token", ()) if self._tokens_in_query else ()
        token = bearer_token(request.header("authorization"), query)
        even_locked = request.target.partition("?")[0].endswith(_EVEN_LOCKED)
        who = await self._sessions.requester(token, even_locked=even_locked)
        self._last_seen.note(who, Caller(request.address, request.user_agent))
        return who

    async def user(self, request: Request) -> Requester:
        """Any user but a guest. Raises as `user_or_guest`, and GuestAccessForbidden."""
        who = await self.user_or_guest(request)
        if who.is_guest:
            raise GuestAccessForbidden
        return who

    async def user_or_nobody(self, request: Request) -> Requester | None:
        """Any user but a guest, or None where the request has no token. Raises UnknownToken, UserLocked."""
        try:
            return await self.user(request)
        except MissingToken:
            return None

    async def anybody(self, request: Request) -> Requester | None:
        """Any user, or None where the request has no token. Raises UnknownToken, UserLocked."""
        try:
            return await self.user_or_guest(request)
        except MissingToken:
            return None

    async def admin(self, request: Request) -> Requester:
        """An administrator of this server. Raises as `user`, and Forbidden."""
        who = await self.user(request)
        if not who.is_admin:
            raise Forbidden("You are not a server admin")
        return who
