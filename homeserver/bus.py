"""How the nodes of one server tell each other things: what each has committed, and what is only in memory (ADR 0010).

Whoever is told nothing loses nothing that is durable: positions are read from PostgreSQL again. So a bus may drop what
it is given, but what it delivers of one node it delivers in order.
"""

from collections.abc import Callable
from typing import Final, NewType, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from homeserver.clock import Clock, Timer

REGISTRY: Final = CollectorRegistry()
CONNECTED: Final = Gauge("meridian_bus_connected", "Whether the bus carries messages.", registry=REGISTRY)
PUBLISHED: Final = Counter(
    "meridian_bus_published_total", "Messages to other nodes.", ["kind"], registry=REGISTRY
)
HEARD: Final = Counter("meridian_bus_heard_total", "Messages of other nodes.", ["kind"], registry=REGISTRY)
UNSENT: Final = Counter(
    "meridian_bus_unsent_total", "Messages that were not sent, as there was no connection.", registry=REGISTRY
)
NODES: Final = Gauge("meridian_nodes_heard", "Other nodes that are heard.", registry=REGISTRY)

Node = NewType("Node", str)
"""One start of one node."""

Heard = Callable[[Node, bytes], None]

ALIVE_EVERY_S: Final = 5.0
LOST_S: Final = 20.0
"""A node that has said nothing for so long is taken to be dead."""

_ALIVE: Final = "alive"
_HELLO: Final = "hello"
_BYE: Final = "bye"


class Bus(Protocol):
    """Carries messages of some kinds to all other nodes."""

    @property
    def is_shared(self) -> bool:
        """Whether there may be other nodes."""

    @property
    def is_connected(self) -> bool:
        """Whether messages come and go at the moment."""

    def publish(self, kind: str, message: bytes) -> None:
        """Tell all other nodes; nobody, where it is not connected."""

    def subscribe(self, kind: str, heard: Heard) -> None:
        """Have a function called with what other nodes tell."""

    def when_connected(self, listener: Callable[[], None]) -> None:
        """Have a function called each time that messages begin to come and go."""

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""

    async def stop(self) -> None:
        """Disconnect."""


class OneNode:
    """The bus of a server that has one node: there is nobody to tell."""

    is_shared = False
    is_connected = True

    def publish(self, kind: str, message: bytes) -> None:
        """Nobody hears it."""

    def subscribe(self, kind: str, heard: Heard) -> None:
        """Nobody says anything."""

    def when_connected(self, listener: Callable[[], None]) -> None:
        """Nothing changes."""

    def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""


class RollCall:
    """Which other nodes are there. Each says so every few seconds; who comes is told of, and who is gone."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._seen: dict[Node, float] = {}
        self._came: list[Callable[[], None]] = []
        self._gone: list[Callable[[Node], None]] = []
        self._timer: Timer | None = None
        for kind, heard in ((_ALIVE, self._alive), (_HELLO, self._hello), (_BYE, self._bye)):
            bus.subscribe(kind, heard)
        bus.when_connected(self._connected)

    def __len__(self) -> int:
        """How many others are there."""
        return len(self._seen)

    def when_somebody_came(self, listener: Callable[[], None]) -> None:
        """Call when a node begins to listen, which knows nothing yet: tell it what is here."""
        self._came.append(listener)

    def when_gone(self, listener: Callable[[Node], None]) -> None:
        """Call with each node that has ended, or is taken to be dead."""
        self._gone.append(listener)

    def start(self) -> None:
        """Say that we are here, from now on."""
        if self._bus.is_shared and self._timer is None:
            self._say_so()

    def stop(self) -> None:
        """Say that we are not here any more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._bus.publish(_BYE, b"")

    def _connected(self) -> None:
        """Who was away missed what others said, and they what it said."""
        now = self._clock.seconds()
        self._seen = dict.fromkeys(self._seen, now)  # it was the bus that was silent
        self._bus.publish(_HELLO, b"")
        self._tell()

    def _say_so(self) -> None:
        self._timer = self._clock.call_later(ALIVE_EVERY_S, self._say_so)
        self._bus.publish(_ALIVE, b"")
        now = self._clock.seconds()
        for node in [node for node, seen in self._seen.items() if now - seen > LOST_S]:
            self._lose(node)

    def _alive(self, node: Node, message: bytes) -> None:
        known = node in self._seen
        self._see(node)
        if not known:
            self._tell()

    def _hello(self, node: Node, message: bytes) -> None:
        self._see(node)
        self._bus.publish(_ALIVE, b"")
        self._tell()

    def _see(self, node: Node) -> None:
        self._seen[node] = self._clock.seconds()
        NODES.set(len(self._seen))

    def _bye(self, node: Node, message: bytes) -> None:
        if node in self._seen:
            self._lose(node)

    def _lose(self, node: Node) -> None:
        del self._seen[node]
        NODES.set(len(self._seen))
        for listener in self._gone if self._timer is not None else ():
            listener(node)

    def _tell(self) -> None:
        for listener in self._came:
            listener()
