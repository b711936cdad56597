"""One client connection: Twisted's parser, with our limits in time and size, and an exchange for each request.

Twisted's HTTPChannel decides what is a request and where it ends. It answers one request after the other, refuses what
could be read in two ways (two lengths, a length and chunks, a malformed chunk) and stops reading from clients that
do not take their answers. Timeouts are deadlines that the site looks at once a second, so an idle connection costs
no timer.
"""

# mypy: allow-untyped-calls
# Twisted's HTTPChannel has no annotations.

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from twisted.internet.interfaces import IAddress, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from homeserver.http.exchange import Exchange, Serving, header_values

_BLANKS: Final = (b" ", b"\t")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one client may cost. Times are seconds, sizes bytes.

    A request's head must arrive within `head_timeout` of its first byte. A body must come at `body_min_rate` bytes
    a second after `body_grace`. A connection without a request is closed after `idle_timeout`, one that does not
    take its answer after `write_timeout`. After a refusal up to `linger_bytes` are thrown away within `linger_timeout`.
    """

    max_connections: int = 50_000
    max_headers: int = 100
    max_head_bytes: int = 16_384
    head_timeout: float = 20.0
    body_grace: float = 30.0
    body_min_rate: float = 1024.0
    idle_timeout: float = 90.0
    write_timeout: float = 60.0
    linger_timeout: float = 10.0
    linger_bytes: int = 4 * 1024 * 1024


class Channel(HTTPChannel):
    """A connection, with the moment at which it has to have got further."""

    requestFactory: Any = Exchange
    transport: Any
    timeOut = None  # Twisted's own timer starts anew with every byte, which a slow sender would use
    serving: Serving
    limits: ConnectionLimits
    now: Callable[[], float]
    lost: Callable[["Channel"], None]
    refused: Callable[[str], None]
    peer_address = ""
    _networkProducer: Any
    deadline = inf
    busy = False
    _idle = False
    _draining = False
    _body_started = 0.0
    _held_since: float | None = None

    def connectionMade(self) -> None:
        """Start with the patience of a request's head: a handshake is part of it."""
        self.MAX_LENGTH = self.totalHeadersSize = self.limits.max_head_bytes
        self.maxHeaders = self.limits.max_headers
        self.peer_address = _text(self.transport.getPeer())
        self.deadline = self.now() + self.limits.head_timeout
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpKeepAlive(True)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Feed the parser."""
        if self._idle:
            self._idle = False
            self.deadline = self.now() + self.limits.head_timeout
        LineReceiver.dataReceived(self, data)

    def lineReceived(self, line: bytes) -> None:
        """Take a line of the head. One that goes on with the line before has been forbidden since 2014."""
        if line[:1] in _BLANKS:
            self._respondToBadRequestAndDisconnect()
        else:
            super().lineReceived(line)

    def allHeadersReceived(self) -> None:
        """Refuse what is too large already by its own account, before any of it is read."""
        exchange = self.requests[-1]
        self.persistent = self.checkPersistence(exchange, self._version)
        if self._version == b"HTTP/1.1" and len(header_values(exchange, b"host")) != 1:
            self._respondToBadRequestAndDisconnect()
            return
        if not exchange.begin(self._command, self._path, self.length):
            return
        if self.length != 0:
            self._body_started = self.now()
            self.deadline = self._body_started + self.limits.body_grace
            if any(value.lower() == b"100-continue" for value in header_values(exchange, b"expect")):
                self._send100Continue()

    def rawDataReceived(self, data: bytes) -> None:
        """Take a piece of a body, and give the next one as long as the rate demands."""
        super().rawDataReceived(data)
        if self.busy or not self.requests:
            return
        received = self.requests[-1].received
        if not self._draining:
            if self._held_since is not None:
                return
            self.deadline = self._body_started + self.limits.body_grace + received / self.limits.body_min_rate
        elif received > self.limits.linger_bytes:
            self.loseConnection()

    def checkPersistence(self, exchange: Exchange, version: bytes) -> bool:
        """Tell whether another request may follow this one."""
        if version != b"HTTP/1.1" or self.serving.closing:
            return False
        tokens = b",".join(header_values(exchange, b"connection")).lower()
        return b"close" not in [token.strip() for token in tokens.split(b",")]

    def allContentReceived(self) -> None:
        """Answer, which may take as long as it takes."""
        if getattr(self.transport, "disconnecting", False):
            return
        self.deadline = inf
        self.busy = True
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """Wait for the next request, if there may be one."""
        self.busy = False
        self._held_since = None
        self._idle = True
        self.deadline = self.now() + (
            self.limits.write_timeout if self._waitingForTransport else self.limits.idle_timeout
        )
        super().requestDone(request)

    def pauseProducing(self) -> None:
        """Give a client that does not take its answer some time to do so."""
        super().pauseProducing()
        self.deadline = self.now() + self.limits.write_timeout

    def resumeProducing(self) -> None:
        """Go on as before the client was too slow."""
        super().resumeProducing()
        self.deadline = inf if self.busy else self.now() + self.limits.idle_timeout

    def hold_body(self) -> None:
        """Read no more of a body until whoever takes it has caught up. The client is not to blame for the wait."""
        if self._held_since is None:
            self._held_since = self.now()
            self.deadline = inf
            self._networkProducer.pauseProducing()

    def go_on_with_body(self) -> None:
        """Read on."""
        held_since, self._held_since = self._held_since, None
        if held_since is None or getattr(self.transport, "disconnecting", False):
            return
        self._body_started += self.now() - held_since
        if not self.busy and self.requests:
            received = self.requests[-1].received
            self.deadline = self._body_started + self.limits.body_grace + received / self.limits.body_min_rate
        if not self._waitingForTransport:
            self._networkProducer.resumeProducing()

    def drain(self) -> None:
        """Throw away the rest of a refused body."""
        self.go_on_with_body()
        self._draining = True
        self.deadline = self.now() + self.limits.linger_timeout

    def expire(self) -> None:
        """Close after the deadline; a second time at once and for good."""
        if self.deadline == inf:
            return
        closing = getattr(self.transport, "disconnecting", False)
        if not self._idle and not self._draining and not closing:
            self.refused("too slow")
        if closing or self._waitingForTransport:
            self.transport.abortConnection()
        else:
            self.deadline = self.now() + self.limits.linger_timeout
            self.loseConnection()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is longer than a whole head may be."""
        self._respondToBadRequestAndDisconnect()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the exchange and the site."""
        super().connectionLost(reason)
        self.requests.clear()
        self.lost(self)

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:
        if (
            header == b"Content-Length" and len(data) > 18
        ):  # no such body exists, and int() has a limit of its own
            return self._failChooseTransferDecoder()
        return bool(super()._maybeChooseTransferDecoder(header, data))

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Answer what is not HTTP; a request that was refused has had its answer."""
        if not self._draining:
            self.refused("malformed")
            self.transport.write(
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            self.deadline = self.now() + self.limits.linger_timeout
        self.loseConnection()


def _text(address: IAddress) -> str:
    host = getattr(address, "host", None)
    return host if isinstance(host, str) else "unix"
