"""Signed requests to other servers: the one way to ask them anything.

https://spec.matrix.org/v1.19/server-server-api/#authentication
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import msgspec

from federation.client.destinations import Attempt, DestinationHealth
from federation.client.discovery import Discovery
from federation.client.errors import RemoteError, Unreachable
from federation.client.list_answers import ListAnswer, TakeItems
from federation.wire.request_signing import authorization
from federation.wire.route import Route
from homeserver.gateways.http_client import (
    Answer,
    AnswerMalformed,
    AnswerTooLarge,
    HttpClient,
    Limits,
    NotConnected,
    OutboundError,
    Sink,
    was_cancelled,
)
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey

T = TypeVar("T")

Body = Mapping[str, Any] | msgspec.Struct | bytes
"""A JSON object; as bytes it is canonical JSON already."""

_JSON: Final = {"Content-Type": "application/json"}
_SECONDS_TO_TRUST_RETRY_AFTER: Final = 24 * 3600
_AWAY: Final = range(500, 600)
_YET_THERE: Final = frozenset(("M_NOT_YET_UPLOADED", "M_TOO_LARGE"))
"""What a server says of its media with a status as if it was away."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this server is to the others, and with which of them (`permits`) it deals at all."""

    server_name: ServerName
    signing_key: SigningKey
    permits: Callable[[ServerName], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an answer of a route that does not say, and how much to read of any."""

    seconds: float = 60.0
    max_bytes: int = 256 * 10**6


class FederationClient:
    """Sends requests, minding the health of the server that is asked, and reads answers within the limits of the
    route.
    """

    def __init__(
        self,
        identity: Identity,
        http: HttpClient,
        discovery: Discovery,
        health: DestinationHealth,
        patience: Patience = Patience(),
    ) -> None:
        self._identity = identity
        self._http = http
        self._discovery = discovery
        self._health = health
        self._patience = patience
        self._decoders: dict[Any, msgspec.json.Decoder[Any]] = {}

    async def request(
        self,
        route: Route[T],
        destination: ServerName,
        *,
        path: Mapping[str, str] = {},
        query: msgspec.Struct | Mapping[str, object] | None = None,
        body: Body | None = None,
        timeout_s: float | None = None,
        max_bytes: int | None = None,
        despite_pause: bool = False,
    ) -> T:
        """Ask a server, and return its answer as the route's type.

        A server that has failed is not asked before its pause is over, unless `despite_pause`. Raises Unreachable
        when it gives no usable answer and RemoteError when its answer is an error.
        """
        limits = self._limits(route, timeout_s, max_bytes)
        answer = await self._ask(route, destination, route.target(path, query), body, limits, despite_pause)
        return self._decoded(route, destination, answer.body)

    async def request_lists(
        self,
        route: Route[T],
        destination: ServerName,
        take: TakeItems,
        *,
        path: Mapping[str, str] = {},
        query: msgspec.Struct | None = None,
        body: Body | None = None,
    ) -> T:
        """As `request`, but the items of the route's `lists` are given to `take` as they come: in the answer these
        lists are empty. What `take` was given counts only if this does not raise.
        """
        reading = ListAnswer(route.lists, take)
        limits, target = self._limits(route), route.target(path, query)
        await self._ask(route, destination, target, body, limits, False, reading.sink)
        try:
            rest = reading.rest()
        except AnswerMalformed as error:
            raise Unreachable(destination, str(error)) from error
        return self._decoded(route, destination, rest)

    async def download(
        self,
        route: Route[Any],
        destination: ServerName,
        sink: Sink,
        *,
        path: Mapping[str, str] = {},
        query: msgspec.Struct | Mapping[str, object] | None = None,
        limits: Limits,
    ) -> Answer:
        """Ask a server for what is not JSON; the body goes to what `sink` gives. Errors as of `request`."""
        return await self._ask(route, destination, route.target(path, query), None, limits, False, sink)

    def _limits(
        self, route: Route[Any], timeout_s: float | None = None, max_bytes: int | None = None
    ) -> Limits:
        patience = self._patience
        return Limits(
            min(max_bytes or route.max_answer_bytes, patience.max_bytes),
            timeout_s or route.timeout_s or patience.seconds,
        )

    def _decoded(self, route: Route[T], destination: ServerName, body: bytes) -> T:
        try:
            return cast(T, self._decoder(route.answer).decode(body))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Unreachable(
                destination, f"its answer is not what it should be ({str(error)[:200]})"
            ) from error

    async def _ask(
        self,
        route: Route[Any],
        destination: ServerName,
        target: str,
        body: Body | None,
        limits: Limits,
        despite_pause: bool,
        sink: Sink | None = None,
    ) -> Answer:
        identity = self._identity
        if destination == identity.server_name:
            raise Unreachable(destination, "it is this server")
        if not identity.permits(destination):
            raise Unreachable(destination, "this server does not deal with it")
        attempt = self._health.admit(destination, despite_pause)
        content = None if body is None else _canonical(body)
        headers = {} if content is None else dict(_JSON)
        if route.signed:
            headers["Authorization"] = authorization(
                identity.signing_key, route.method, target, identity.server_name, destination, content
            )
        answer = await self._send(attempt, route.method, target, headers, content, limits, sink)
        if answer.status != 200:
            raise self._refused(attempt, answer)
        self._health.succeeded(attempt)
        return answer

    async def _send(
        self,
        attempt: Attempt,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes | None,
        limits: Limits,
        sink: Sink | None,
    ) -> Answer:
        server = attempt.server
        try:
            place = await self._discovery.target(server)
            return await self._http.send(
                place, method, target, headers=headers, body=content, limits=limits, sink=sink
            )
        except (AnswerTooLarge, AnswerMalformed, InvalidParam) as error:
            raise Unreachable(server, str(error)) from error
        except OutboundError as error:
            if isinstance(error, NotConnected):
                self._discovery.forget(server)
            if not was_cancelled(error):
                self._failed(attempt)
            raise Unreachable(server, str(error), self._health.retry_at_ms(server)) from error

    def _refused(self, attempt: Attempt, answer: Answer) -> RemoteError:
        """Read an error, and learn from it whether the server is there."""
        error = _remote_error(attempt.server, answer)
        away = answer.status in _AWAY and error.remote_errcode not in _YET_THERE
        if away or answer.status == 429:
            self._failed(attempt, error.retry_after_ms or 0)
        else:
            self._health.succeeded(attempt)
        return error

    def _failed(self, attempt: Attempt, at_least_ms: int = 0) -> None:
        if not attempt.despite_pause:
            self._health.failed(attempt, at_least_ms)

    def _decoder(self, kind: Any) -> msgspec.json.Decoder[Any]:
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = msgspec.json.Decoder(kind)
        return decoder


def _canonical(body: Body) -> bytes:
    if isinstance(body, bytes):
        return body
    return encode_canonical(msgspec.to_builtins(body) if isinstance(body, msgspec.Struct) else body)


def _remote_error(server: ServerName, answer: Answer) -> RemoteError:
    try:
        body = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        body = {}
    errcode, text = body.get("errcode"), body.get("error")
    return RemoteError(
        server,
        answer.status,
        errcode if isinstance(errcode, str) else "M_UNKNOWN",
        text if isinstance(text, str) else "",
        body,
        _retry_after_ms(answer, body),
    )


def _retry_after_ms(answer: Answer, body: Mapping[str, Any]) -> int | None:
    """How long the server asks to be left alone, by header or by body, and within reason."""
    header = answer.header("Retry-After") or ""
    value = int(header) * 1000 if header.isascii() and header.isdigit() else body.get("retry_after_ms")
    if isinstance(value, int) and value > 0:
        return min(value, _SECONDS_TO_TRUST_RETRY_AFTER * 1000)
    return None
