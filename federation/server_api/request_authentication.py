"""Which server makes a request: the authenticator of the endpoints that servers ask.

https://spec.matrix.org/v1.19/server-server-api/#request-authentication
"""

from collections.abc import Callable, Sequence

from federation.client.destinations import DestinationHealth
from federation.keyring import Keyring
from federation.wire.request_signing import signed_request
from homeserver.http.authentication import Origin, ServerSignature, server_signatures
from homeserver.http.request import Request
from homeserver.protocol.canonical_json import decode, encode_canonical
from homeserver.protocol.errors import Forbidden, Unauthorized
from homeserver.protocol.identifiers import ServerName


class ServerAuthentication:
    """Checks signatures of requests. A server that asks is there, which its health record is told."""

    def __init__(
        self,
        server_name: ServerName,
        keyring: Keyring,
        health: DestinationHealth,
        permits: Callable[[ServerName], bool],
    ) -> None:
        self._server_name = server_name
        self._keyring = keyring
        self._health = health
        self._permits = permits

    async def origin(self, request: Request) -> Origin:
        """The server that signed the request.

        Raises Unauthorized, InvalidParam, NotJson, and Forbidden for one kept out.
        """
        signatures = server_signatures(request.header("authorization"))
        origin, destination = signatures[0].origin, signatures[0].destination
        if destination is not None and destination != self._server_name:
            raise Unauthorized("The request is signed for another server")
        if origin == self._server_name:
            raise Unauthorized("The request claims to come from this server")
        if not self._permits(origin):
            raise Forbidden("This server does not deal with yours")

        try:
            await self._check(request, signatures, request.body or None)
        except Unauthorized:
            canonical = encode_canonical(decode(request.body)) if request.body else b""
            if canonical == request.body:
                raise
            await self._check(request, signatures, canonical)
        self._health.heard_from(origin)
        self._keyring.heard_from(origin)
        return Origin(origin, destination)

    async def _check(
        self, request: Request, signatures: Sequence[ServerSignature], content: bytes | None
    ) -> None:
        """Check the signatures over the request with this content.

        The body is tried as it came (mostly it is canonical JSON), and in canonical form only if it does not do. A body
        that was signed as it came needs no look: before anybody uses it, it is parsed by itself, so nothing in it can
        stand for another part of what was signed.
        """
        first = signatures[0]
        message = signed_request(request.method, request.target, first.origin, first.destination, content)
        by_key = [(each.key_id, each.signature) for each in signatures]
        await self._keyring.check_request(first.origin, by_key, message)
