"""The bus of several nodes: Redis pub/sub. Nothing is stored there, and nothing that is lost there is lost.

Two connections, as one that listens can do nothing else. Each is made again by itself. Channels have a version: nodes
of releases that speak differently do not hear each other, and go by what the database says.

https://redis.io/docs/latest/develop/interact/pubsub/
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from twisted.application.internet import ClientService
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure
from txredisapi import RedisProtocol, ResponseError, SubscriberProtocol

from homeserver.bus import CONNECTED, HEARD, PUBLISHED, UNSENT, Heard, Node
from homeserver.clock import Randomness

log = structlog.get_logger(__name__)

VERSION: Final = 1
PORT: Final = 6379
CONNECT_S: Final = 5.0
ANSWER_S: Final = 10.0
"""A connection on which no answer comes for so long is given up."""
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
MAX_UNANSWERED: Final = 10_000
"""Messages on their way to Redis; beyond that, none are sent."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is, and how it knows us."""

    url: str
    username: str | None = None
    password: str | None = None

    def endpoint(self, reactor: Any) -> Any:
        """How to connect to it."""
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            return UNIXClientEndpoint(reactor, parts.path, CONNECT_S)
        host = parts.hostname or ""
        endpoint: Any = HostnameEndpoint(reactor, host, parts.port or PORT, CONNECT_S)
        return wrapClientTLS(optionsForClientTLS(host), endpoint) if parts.scheme == "rediss" else endpoint


class RedisBus:
    """A bus whose messages are `NODE KIND TEXT`."""

    is_shared = True

    def __init__(
        self, reactor: Any, address: RedisAddress, channel: str, node: str, random: Randomness
    ) -> None:
        """``channel``: the same for all nodes of a server; ``node``: a name of this one that is new with each start."""
        self._channel = f"{channel}:{VERSION}"
        self._node = node
        self._heard: dict[str, list[Heard]] = {}
        self._listeners: list[Callable[[], None]] = []
        self._publisher = _Line(reactor, address, random, RedisProtocol, self._changed)
        self._subscriber = _Line(reactor, address, random, _Subscriber, self._subscribe)
        self._listening = False
        self._unanswered = 0
        self.is_connected = False

    def publish(self, kind: str, message: bytes) -> None:
        """Tell all other nodes."""
        protocol = self._publisher.ready
        if protocol is None or self._unanswered >= MAX_UNANSWERED:
            UNSENT.inc()
            return
        self._unanswered += 1
        PUBLISHED.labels(kind).inc()
        text = b"%b %b %b" % (self._node.encode(), kind.encode(), message)
        sent = protocol.publish(self._channel, text)
        _ = sent.addBoth(self._answered)

    def subscribe(self, kind: str, heard: Heard) -> None:
        """Have a function called with what other nodes tell."""
        self._heard.setdefault(kind, []).append(heard)

    def when_connected(self, listener: Callable[[], None]) -> None:
        """Have a function called each time that messages begin to come and go."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        self._publisher.start()
        self._subscriber.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._publisher.stop()
        await self._subscriber.stop()

    def _subscribe(self) -> None:
        self._listening = False
        protocol = self._subscriber.ready
        if protocol is not None:
            protocol.on_message = self._message
            protocol.on_subscribed = self._subscribed
            _ = protocol.subscribe([self._channel]).addBoth(lambda answer: None)
        self._changed()

    def _subscribed(self) -> None:
        self._listening = True
        self._changed()

    def _changed(self) -> None:
        before = self.is_connected
        self.is_connected = self._publisher.ready is not None and self._listening
        if self.is_connected != before:
            CONNECTED.set(self.is_connected)
            log.info("bus connected" if self.is_connected else "bus not connected")
        if self.is_connected and not before:
            for listener in self._listeners:
                listener()

    def _answered(self, answer: object) -> None:
        self._unanswered -= 1
        if isinstance(answer, Failure | ResponseError):
            UNSENT.inc()

    def _message(self, text: str) -> None:
        node, _, rest = text.partition(" ")
        kind, _, message = rest.partition(" ")
        if node == self._node or kind not in self._heard:
            return
        HEARD.labels(kind).inc()
        for heard in self._heard[kind]:
            try:
                heard(Node(node), message.encode())
            except Exception:
                log.exception("a message of another node could not be taken", kind=kind)


class _Line(Factory):
    """One connection, made again whenever it is lost. ``ready`` is its protocol while it can be used."""

    noisy = False
    isLazy = False

    def __init__(
        self,
        reactor: Any,
        address: RedisAddress,
        random: Randomness,
        protocol: Callable[..., Any],
        changed: Callable[[], None],
    ) -> None:
        self._address = address
        self._random = random
        self._protocol = protocol
        self._changed = changed
        self.ready: Any = None
        factory: Any = self
        self._service = ClientService(
            address.endpoint(reactor), factory, retryPolicy=self._pause, clock=reactor
        )

    def start(self) -> None:
        """Connect."""
        self._service.startService()

    async def stop(self) -> None:
        """Disconnect."""
        if self._service.running:
            await self._service.stopService()

    def buildProtocol(self, addr: object) -> Any:
        """A new connection."""
        made = self._protocol(
            charset="utf-8",
            errors="replace",
            replyTimeout=ANSWER_S,
            password=self._address.password,
            username=self._address.username,
            convertNumbers=False,
        )
        made.factory = self
        _ = made.whenConnected().addCallback(self._connected)
        return made

    def stopTrying(self) -> None:
        """Redis refused the password. It may be changed there; so it is tried again."""

    def connectionError(self, why: object) -> None:
        """What it said."""
        log.error("the bus cannot be used", error=str(why))

    def _connected(self, protocol: Any) -> None:
        self.ready = protocol
        _ = protocol.whenDisconnected().addCallback(self._lost)
        self._changed()

    def _lost(self, protocol: Any) -> None:
        if self.ready is protocol:
            self.ready = None
            self._changed()

    def _pause(self, attempts: int) -> float:
        """Seconds until the next attempt to connect: nodes do not come back all at once."""
        pause: float = min(FIRST_PAUSE_S * 2.0 ** min(attempts, 20), LONGEST_PAUSE_S)
        return pause * self._random.uniform(0.75, 1.25)


class _Subscriber(SubscriberProtocol):
    """Tells when it has been subscribed, and what it hears."""

    on_message: Callable[[str], None] | None = None
    on_subscribed: Callable[[], None] | None = None

    def replyReceived(self, reply: Any) -> None:
        """An answer, or a message."""
        if isinstance(reply, list) and reply[:1] == ["subscribe"] and self.on_subscribed is not None:
            self.on_subscribed()
        super().replyReceived(reply)

    def messageReceived(self, pattern: object, channel: object, message: Any) -> None:
        """A message of some node."""
        if self.on_message is not None and isinstance(message, str):
            self.on_message(message)
