"""A site without sockets: connections in memory, a clock that a test moves, chance that repeats."""

# mypy: allow-untyped-calls
# Twisted's test transports have no annotations.

import math
import random
import string
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock as TwistedClock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from homeserver.app.runtime import sleeping
from homeserver.clock import Timer
from homeserver.http.channel import Channel
from homeserver.http.site import Site

T = TypeVar("T")


class SteppingClock:
    """Time that stands still until a test moves it."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.twisted = TwistedClock()
        self._start_ms = now_ms

    def now_ms(self) -> int:
        return self._start_ms + int(self.twisted.seconds() * 1000)

    def seconds(self) -> float:
        return float(self.twisted.seconds())

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: object) -> Timer:
        timer: Timer = self.twisted.callLater(seconds, function, *arguments)
        return timer

    async def sleep(self, seconds: float) -> None:
        await sleeping(self, seconds)

    def advance(self, seconds: float) -> None:
        """Move time second by second, and make the calls that fall due; seconds without any pass at once."""
        whole, rest = divmod(seconds, 1.0)
        left = int(whole)
        while left:
            step = max(1, math.ceil(min(left, self._due() - self.twisted.seconds())))
            self.twisted.advance(step)
            left -= step
        self.twisted.advance(rest)

    def _due(self) -> float:
        planned: Any = self.twisted.getDelayedCalls()
        return min((call.getTime() for call in planned), default=math.inf)


class SeededRandom:
    """Chance that is the same in every run."""

    def __init__(self, seed: int | str = 0) -> None:
        self._random = random.Random(seed)

    def token(self, nbytes: int) -> str:
        return self.letters(-(-nbytes * 4 // 3))

    def letters(self, count: int) -> str:
        return "".join(self._random.choices(string.ascii_letters, k=count))

    def choice(self, options: Sequence[T]) -> T:
        return self._random.choice(options)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


async def at_once(function: Callable[[], T]) -> T:
    """Do the work of a thread here and now."""
    return function()


class MemoryTransport(StringTransport):
    """The server's end of a connection, with what Twisted's HTTP asks of a real one."""

    aborted = False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """There is nothing to keep alive."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is nothing to delay."""


class MemoryConnection:
    """The client's end: bytes in, bytes out."""

    def __init__(self, site: Site, address: str = "192.0.2.1") -> None:
        peer = IPv4Address("TCP", address, 50_000)
        protocol = site.buildProtocol(None)
        self.refused = protocol is None
        self.transport = MemoryTransport(peerAddress=peer)
        self.protocol = protocol or Channel()
        self._lost = self.refused
        if protocol is not None:
            protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Send some bytes, unless the server has closed."""
        if not self.closed:
            self.protocol.dataReceived(data)
        self._notice_close()

    def received(self) -> bytes:
        """Take what the server sent since the last call."""
        data: bytes = self.transport.value()
        self.transport.clear()
        self._notice_close()
        return data

    @property
    def closed(self) -> bool:
        """Whether the server closed the connection."""
        return self._lost or self.transport.disconnecting or bool(self.transport.disconnected)

    def stall(self) -> None:
        """Take no more of what the server sends."""
        producer: Any = self.transport.producer
        producer.pauseProducing()

    def resume(self) -> None:
        """Take what the server sends again."""
        producer: Any = self.transport.producer
        producer.resumeProducing()

    def close(self) -> None:
        """Go away without a word."""
        if not self._lost:
            self._lost = True
            self.protocol.connectionLost(Failure(ConnectionDone()))

    def _notice_close(self) -> None:
        if self.transport.disconnecting or self.transport.disconnected:
            self.close()


def result_of(awaitable: Coroutine[Deferred[Any], Any, T], pump: Callable[[], object] | None = None) -> T:
    """Run a coroutine to its end and return its result; `pump` is called again and again while it waits."""
    outcome: list[T | Failure] = []
    deferred = Deferred.fromCoroutine(awaitable)
    _ = deferred.addBoth(outcome.append)
    for _attempt in range(10_000):
        if outcome or pump is None:
            break
        pump()
    if not outcome:
        raise AssertionError("the coroutine still waits")
    result = outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
        raise AssertionError("a failure raises")
    return result


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Cut bytes as a network might."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
