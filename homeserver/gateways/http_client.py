"""The one client by which this server asks anything of the outside: other homeservers, push gateways, pages to
preview, providers of identity.

Every address is judged after resolution (see `connecting`), redirects go through the same door, and every answer has
a limit of bytes and of time, whatever it is for.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from homeserver.gateways.addresses import AddressPolicy
from homeserver.gateways.connecting import AddressForbidden, Connector, Place
from homeserver.gateways.request_bodies import WholeBody
from homeserver.gateways.tls import ClientTls

KEEP_ALIVE_S: Final = 50
IDLE_CONNECTIONS_PER_HOST: Final = 4
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_REPEATABLE: Final = frozenset(("GET", "HEAD", "PUT", "DELETE"))


class OutboundError(Exception):
    """The request got no usable answer. The text says why, and is fit for a log."""


class NotConnected(OutboundError):
    """No connection: no such name, nobody listens, the certificate is not the right one, or the address is not
    allowed.
    """


class NoAnswer(OutboundError):
    """Connected, but no whole answer came, or not in time."""


class AnswerTooLarge(OutboundError):
    """The answer has more bytes than we take."""


class AnswerMalformed(OutboundError):
    """What takes the body piece by piece cannot read it."""


class TooManyRedirects(OutboundError):
    """One redirect more than we follow, or one that leads nowhere."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an answer may cost: bytes of body, seconds from the start to its last byte, redirects to follow (and to
    where).
    """

    max_bytes: int = 1024 * 1024
    seconds: float = 30.0
    redirects: int = 0
    https_only: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP response. `body` is empty when it went to a sink. `url` is where it came from in the end."""

    status: int
    headers: Headers
    body: bytes
    url: str = ""

    def header(self, name: str) -> str | None:
        """Return the last header of this name."""
        values = self.headers.getRawHeaders(name)
        return values[-1] if values else None


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect (the first place that takes the connection), and the `Host` that is asked for.

    Equal targets share connections.
    """

    places: tuple[Place, ...]
    host_header: str


Taker = Callable[[bytes], object]
"""Takes a piece of a body. If it returns a Deferred, no more is read until that has fired."""
Sink = Callable[[Headers], Taker]
"""Is told the headers of an answer whose status is 2xx, and gives what takes its body."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How the client introduces itself, and how much it asks of one host."""

    user_agent: str
    connections_per_host: int = 8
    connect_timeout_s: float = 10.0


class HttpClient:
    """HTTP/1.1 with kept connections, bounded in every way.

    One policy of addresses each; connections are never shared between two.
    """

    def __init__(
        self, reactor: Any, resolver: Any, policy: AddressPolicy, tls: ClientTls, manners: Manners
    ) -> None:
        self._reactor = reactor
        self._connector = Connector(reactor, resolver, policy, tls, manners.connect_timeout_s)
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = min(IDLE_CONNECTIONS_PER_HOST, manners.connections_per_host)
        self._pool.cachedConnectionTimeout = KEEP_ALIVE_S
        self._pool.retryAutomatically = False
        self._manners = manners
        self._slots: dict[Target, DeferredSemaphore] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limits: Limits = Limits(),
        sink: Sink | None = None,
    ) -> Answer:
        """Ask a URL (http or https), following redirects as far as `limits` says. Raises OutboundError.

        The body goes piece by piece to what `sink` gives, if there is one and the status is 2xx.
        """
        deadline = self._reactor.seconds() + limits.seconds
        seen: set[str] = set()
        while True:
            target, path = _target(url, limits.https_only)
            left = Limits(limits.max_bytes, deadline - self._reactor.seconds())
            answer = await self.send(
                target, method, path, headers=headers or {}, body=body, limits=left, sink=sink, url=url
            )
            location = answer.header("Location")
            if answer.status not in _REDIRECTS or location is None or limits.redirects == 0:
                return answer
            seen.add(url)
            previous, url = url, joined(url, location)
            if url in seen or len(seen) > limits.redirects:
                raise TooManyRedirects(f"redirected too often, last to {url[:200]}")
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "GET", None
            if urlsplit(previous)[:2] != urlsplit(url)[:2]:
                headers = {
                    name: value for name, value in (headers or {}).items() if name.lower() not in _PRIVATE
                }

    async def send(
        self,
        target: Target,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        limits: Limits = Limits(),
        sink: Sink | None = None,
        url: str = "",
    ) -> Answer:
        """Send one request to a target and read the answer; no redirect is followed. Raises OutboundError."""
        exchange = Deferred.fromCoroutine(
            self._exchange(target, method, path, headers, body, limits.max_bytes, sink, url)
        )
        timer = self._reactor.callLater(max(0.0, limits.seconds), exchange.cancel)
        try:
            return await exchange
        except Exception as error:
            if not timer.active():
                raise NoAnswer(f"no whole answer within {limits.seconds:.0f} s") from error
            if isinstance(error, (OutboundError, CancelledError)):
                raise
            raise _told(error) from error
        finally:
            if timer.active():
                timer.cancel()

    async def close(self) -> None:
        """Close the kept connections."""
        await self._pool.closeCachedConnections()

    async def _exchange(
        self,
        target: Target,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        max_bytes: int,
        sink: Sink | None,
        url: str,
    ) -> Answer:
        raw = Headers(
            {b"Host": [target.host_header.encode()], b"User-Agent": [self._manners.user_agent.encode()]}
        )
        for name, value in headers.items():
            raw.setRawHeaders(name, [value])
        async with _Slot(self._slots, target, self._manners.connections_per_host):
            response = await self._respond(target, method, path, raw, body)
            take = sink(response.headers) if sink is not None and 200 <= response.code < 300 else None
            reader = _Reader(max_bytes, take)
            if (
                response.length is not None
                and isinstance(response.length, int)
                and response.length > max_bytes
            ):
                reader.limit = -1
            response.deliverBody(reader)
            return Answer(response.code, response.headers, await reader.done, url)

    async def _respond(
        self, target: Target, method: str, path: str, headers: Headers, body: bytes | None
    ) -> Any:
        """The response's head.

        A kept connection may be closed by the other side just when we use it: then once more.
        """
        agent = Agent.usingEndpointFactory(
            self._reactor, _Fixed(self._connector.endpoint(target.places)), self._pool
        )
        uri = _pool_uri(target, path)
        for again in (method in _REPEATABLE, False):
            producer = None if body is None else WholeBody(body)
            try:
                return await agent.request(method.encode(), uri, headers, producer)
            except (ResponseNeverReceived, RequestTransmissionFailed) as error:
                if not again or not _closed_on_us(error.reasons):
                    raise
        raise AssertionError("the loop returns or raises")


def joined(url: str, reference: str) -> str:
    """Where a reference on a page, or a redirect, leads. Raises TooManyRedirects when that is nowhere."""
    try:
        return urljoin(url, reference)
    except ValueError:
        raise TooManyRedirects("it leads to what is no URL") from None


_PRIVATE: Final = frozenset(("authorization", "cookie"))
_URL_TEXT: Final = re.compile(r"[!-~]{1,8192}")


def _target(url: str, https_only: bool) -> tuple[Target, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotConnected("not a URL") from None
    schemes = ("https",) if https_only else ("http", "https")
    if parts.scheme not in schemes or not parts.hostname or not _URL_TEXT.fullmatch(url):
        raise NotConnected("not a URL that we ask")
    place = Place(
        parts.hostname,
        port or (443 if parts.scheme == "https" else 80),
        parts.hostname if parts.scheme == "https" else None,
    )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target((place,), parts.netloc.rpartition("@")[2]), path


def _pool_uri(target: Target, path: str) -> bytes:
    """A URI whose scheme, host and port (the key of the pool of connections) stand for the target, and whose path is
    the path.
    """
    kind = "tls" if target.places[0].tls_name is not None else "tcp"
    names = ".".join(f"{place.tls_name}-{place.host}-{place.port}" for place in target.places)
    return f"{kind}://{names.replace(':', '_')}/{path.removeprefix('/')}".encode("ascii", "backslashreplace")


def _closed_on_us(reasons: Sequence[Failure]) -> bool:
    return any(reason.check(ConnectionDone, ConnectionLost) for reason in reasons)


def was_cancelled(error: OutboundError) -> bool:
    """Whether a request failed because whoever made it did not want the answer any more: the other side did nothing."""
    reasons = getattr(error.__cause__, "reasons", ())
    return any(reason.check(CancelledError) for reason in reasons)


def _told(error: Exception) -> OutboundError:
    """What happened, as one of our errors with one line of text."""
    if isinstance(error, AddressForbidden):
        return NotConnected(str(error))
    if isinstance(error, (ResponseFailed, ResponseNeverReceived, RequestTransmissionFailed)):
        return NoAnswer("; ".join(reason.getErrorMessage()[:200] for reason in error.reasons))
    return NotConnected(str(error)[:200] or type(error).__name__)


@implementer(IAgentEndpointFactory)
class _Fixed:
    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """The one endpoint, whatever the URI."""
        return self._endpoint


class _Reader(Protocol):
    """Reads a body up to a limit; over it, or cancelled, it drops the connection at once."""

    def __init__(self, limit: int, take: Taker | None) -> None:
        self.limit = limit
        self.done: Deferred[bytes] = Deferred(lambda _: self._stop())
        self._pieces: list[bytes] = []
        self._take = take or self._pieces.append

    def connectionMade(self) -> None:
        """Refuse at once what announced itself as too large."""
        if self.limit < 0:
            self._fail(AnswerTooLarge("the answer is too large"))

    def dataReceived(self, data: bytes) -> None:
        """Take a piece, if it still fits."""
        self.limit -= len(data)
        if self.limit < 0:
            self._fail(AnswerTooLarge("the answer is too large"))
            return
        try:
            busy = self._take(data)
        except Exception as error:
            self._fail(error)
            return
        if isinstance(busy, Deferred) and not busy.called and self.transport is not None:
            self.transport.pauseProducing()
            _ = busy.addBoth(self._go_on)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body has ended: whole, of unknown length (taken as whole), or cut."""
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._pieces))
        else:
            self.done.errback(NoAnswer(f"the answer was cut: {reason.getErrorMessage()[:200]}"))

    def _go_on(self, result: object) -> object:
        if not self.done.called and self.transport is not None:
            self.transport.resumeProducing()
        return result

    def _fail(self, error: Exception) -> None:
        if not self.done.called:
            self.done.errback(error)
            self._stop()

    def _stop(self) -> None:
        self._pieces.clear()
        if self.transport is not None:
            self.transport.stopProducing()


class _Slot:
    """One of the connections that a host may have at a time; the others wait in order."""

    def __init__(self, slots: dict[Target, DeferredSemaphore], target: Target, number: int) -> None:
        self._slots = slots
        self._target = target
        self._number = number

    async def __aenter__(self) -> None:
        semaphore = self._slots.get(self._target)
        if semaphore is None:
            semaphore = self._slots[self._target] = DeferredSemaphore(self._number)
        await semaphore.acquire()

    async def __aexit__(self, *_: object) -> None:
        semaphore = self._slots[self._target]
        semaphore.release()
        if semaphore.tokens == semaphore.limit:
            del self._slots[self._target]
