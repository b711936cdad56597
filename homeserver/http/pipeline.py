"""The way of every request: authenticate, rate limit, decode, call, encode, one log line."""

import itertools
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Any, Final

import structlog
from twisted.internet.defer import CancelledError

from homeserver.clock import Clock, OffReactor, Randomness
from homeserver.http.authentication import Marker, Origin
from homeserver.http.encoding import HeaderPairs, Response, Stream, encode_json
from homeserver.http.endpoint import BoundEndpoint, Endpoint
from homeserver.http.errors import error_response, incident_response, unavailable_response
from homeserver.http.metrics import EndpointMetrics, Metrics
from homeserver.http.rate_limits import Bucket, RateLimits
from homeserver.http.request import Request
from homeserver.http.router import Match, Route
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.requester import Requester
from storage.database import DatabaseUnavailable

log = structlog.get_logger(__name__)

Authenticator = Callable[[Request], Awaitable[object]]

_GZIP_FROM: Final = 1400  # bytes; less fits one packet anyway
_GZIP_OFF_REACTOR_FROM: Final = 128 * 1024  # bytes; about a millisecond of work
_CLIENT_GONE: Final = 499
_LOGGED_PATH: Final = 200  # characters of a path that is nobody's


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over the wire. A `stream` takes the place of the body."""

    status: int
    headers: HeaderPairs
    body: bytes
    stream: Stream | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """An endpoint with everything its requests need already looked up."""

    endpoint: Endpoint
    call: Callable[..., Awaitable[Any]]
    authenticate: Authenticator | None
    bucket: Bucket | None
    body_limit: int
    metrics: EndpointMetrics


class Pipeline:
    """Answers requests. Its constructor gets what differs between servers: who authenticates, and how much is too much.

    `body_limits` are bytes by name, with at least "default". `off_reactor` runs long compressions on a thread.
    """

    def __init__(
        self,
        authenticators: Mapping[Marker, Authenticator],
        limits: RateLimits,
        body_limits: Mapping[str, int],
        metrics: Metrics,
        clock: Clock,
        random: Randomness,
        off_reactor: OffReactor,
    ) -> None:
        self._authenticators = authenticators
        self._limits = limits
        self._body_limits = body_limits
        self._random = random
        self._off_reactor = off_reactor
        self._now = clock.seconds
        self._unrecognized = metrics.endpoint("unrecognized")
        self._metrics = metrics
        prefix = random.letters(4)
        self._request_ids = (f"{prefix}-{number}" for number in itertools.count(1))

    @property
    def default_body_limit(self) -> int:
        """The limit for bodies of endpoints that name none, in bytes."""
        return self._body_limits["default"]

    def next_request_id(self) -> str:
        """Return an ID that no other request of this process has."""
        return next(self._request_ids)

    def routes(self, endpoints: Iterable[BoundEndpoint]) -> list[Route[Prepared]]:
        """Return the routes of some endpoints, ready for a Router.

        Raises ValueError when one asks for an authenticator or a limit that this server does not have.
        """
        return [
            Route(each.endpoint.method, path, prepared)
            for each in endpoints
            for prepared in (self._prepared(each),)
            for path in each.endpoint.paths
        ]

    def _prepared(self, bound: BoundEndpoint) -> Prepared:
        declared = bound.endpoint
        if declared.limit is not None and declared.limit not in self._limits.names:
            raise ValueError(f"{declared.name}: there is no rate limit {declared.limit}")
        if declared.body_limit not in self._body_limits:
            raise ValueError(f"{declared.name}: there is no body limit {declared.body_limit}")
        if declared.auth.gives_principal and declared.auth not in self._authenticators:
            raise ValueError(f"{declared.name}: nothing authenticates by {declared.auth.name}")
        return Prepared(
            endpoint=declared,
            call=bound.call,
            authenticate=self._authenticators[declared.auth] if declared.auth.gives_principal else None,
            bucket=None if declared.limit is None else self._limits.bucket(declared.limit),
            body_limit=self._body_limits[declared.body_limit],
            metrics=self._metrics.endpoint(f"{declared.section}.{declared.name}"),
        )

    async def answer(self, match: Match[Prepared], request: Request, gzip: bool) -> Answer:
        """Answer a request whose body has arrived; never raises."""
        started = self._now()
        errcode: str | None = None
        try:
            call = await self._admitted(match, request)
            answer = _answer_of(await call)
            if gzip and len(answer.body) >= _GZIP_FROM:
                answer = await self._compressed(answer)
        except MatrixError as error:
            errcode = error.errcode
            answer = _plain(error_response(error))
        except Exception as error:
            if isinstance(error, CancelledError) and request.abandoned:
                answer = Answer(_CLIENT_GONE, (), b"")
            else:
                errcode = "M_UNKNOWN"
                answer = self._failed(match, request, error)
        self._record(match, request, answer, errcode, self._now() - started)
        return answer

    def refusal(self, error: MatrixError, method: str, path: str, address: str) -> Answer:
        """Answer a request that no endpoint will see."""
        answer = _plain(error_response(error))
        self._unrecognized.observe(answer.status, 0.0)
        log.info(
            "request",
            method=method,
            path=path[:_LOGGED_PATH],
            status=answer.status,
            errcode=error.errcode,
            address=address,
            request_id=self.next_request_id(),
        )
        return answer

    async def _admitted(self, match: Match[Prepared], request: Request) -> Awaitable[Any]:
        """Authenticate, limit and decode; return the call that is left to be made.

        What waits in a long poll is that call: nothing that was needed to get so far is kept.
        """
        prepared = match.route.target
        if prepared.authenticate is None:
            principals: tuple[object, ...] = ()
        else:
            request.principal = await prepared.authenticate(request)
            principals = (request.principal,)
        if prepared.bucket is not None:
            _limit(prepared.bucket, request)
        arguments = prepared.endpoint.arguments(request, match.values)
        if prepared.endpoint.request_name is None:
            request.release()
        return prepared.call(*principals, **arguments)

    async def _compressed(self, answer: Answer) -> Answer:
        if any(name.lower() == "content-encoding" for name, _ in answer.headers) or not _worth_compressing(
            answer
        ):
            return answer
        if len(answer.body) < _GZIP_OFF_REACTOR_FROM:
            body = _gzip(answer.body)
        else:
            body = await self._off_reactor(lambda: _gzip(answer.body))
        return Answer(
            answer.status, (*answer.headers, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")), body
        )

    def _failed(self, match: Match[Prepared], request: Request, error: Exception) -> Answer:
        if isinstance(error, DatabaseUnavailable):
            log.error("the database is not available", problem=str(error), request_id=request.request_id)
            return _plain(unavailable_response())
        incident = self._random.letters(12)
        log.error(
            "a request failed by a bug",
            exc_info=error,
            incident=incident,
            endpoint=match.route.target.endpoint.name,
            request_id=request.request_id,
        )
        return _plain(incident_response(incident))

    def _record(
        self, match: Match[Prepared], request: Request, answer: Answer, errcode: str | None, seconds: float
    ) -> None:
        match.route.target.metrics.observe(answer.status, seconds)
        log.info(
            "request",
            method=request.method,
            path=match.route.template,
            status=answer.status,
            errcode=errcode,
            user=_who(request.principal),
            ms=round(seconds * 1000, 2),
            bytes=len(answer.body),
            address=request.address,
            request_id=request.request_id,
        )


def _answer_of(returned: object) -> Answer:
    if isinstance(returned, Response):
        return _plain(returned)
    if isinstance(returned, Stream):
        return Answer(returned.status, returned.headers, b"", returned)
    return Answer(200, (), encode_json(returned))


def _plain(response: Response) -> Answer:
    return Answer(response.status, response.headers, response.body)


def _limit(bucket: Bucket, request: Request) -> None:
    principal = request.principal
    if isinstance(principal, Requester):
        if principal.appservice_id is None:
            bucket.take(principal.user_id)
    elif isinstance(principal, Origin):
        bucket.take(principal.server)
    else:
        bucket.take(_network(request.address))


def _network(address: str) -> str:
    """Return what limits count an address by: whoever has one IPv6 address has 2^64 of them."""
    if ":" not in address:
        return address
    try:
        return str(IPv6Network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def _who(principal: object) -> str | None:
    if isinstance(principal, Requester):
        return principal.user_id
    if isinstance(principal, Origin):
        return principal.server
    return None


def _worth_compressing(answer: Answer) -> bool:
    kind = next(
        (value for name, value in answer.headers if name.lower() == "content-type"), "application/json"
    )
    return kind.startswith(("application/json", "text/"))


def _gzip(body: bytes) -> bytes:
    """Compress at the fastest level: half the gain of the best one comes at a tenth of the cost."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    return compressor.compress(body) + compressor.flush()
