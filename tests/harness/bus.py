"""A bus between nodes of one process: messages arrive at the next turn of the clock, unless they are lost."""

from collections.abc import Callable

from homeserver.bus import Heard, Node
from homeserver.clock import Clock


class MemoryExchange:
    """What the buses of a server's nodes are connected to. ``loses`` decides of each message whether it gets lost."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.buses: list[MemoryBus] = []
        self.loses: Callable[[str, bytes], bool] = lambda kind, message: False
        self.carried: list[tuple[str, bytes]] = []

    def bus(self, node: str) -> "MemoryBus":
        """The bus of a further node."""
        made = MemoryBus(self, Node(node))
        self.buses.append(made)
        return made

    def carry(self, sender: "MemoryBus", kind: str, message: bytes) -> None:
        """Bring a message to all others."""
        if self.loses(kind, message):
            return
        self.carried.append((kind, message))
        for bus in self.buses:
            if bus is not sender:
                self.clock.call_later(0, bus.hear, sender.node, kind, message)


class MemoryBus:
    """The bus of one node."""

    is_shared = True

    def __init__(self, exchange: MemoryExchange, node: Node) -> None:
        self.node = node
        self.is_connected = False
        self._exchange = exchange
        self._heard: dict[str, list[Heard]] = {}
        self._listeners: list[Callable[[], None]] = []

    def publish(self, kind: str, message: bytes) -> None:
        if self.is_connected:
            self._exchange.carry(self, kind, message)

    def subscribe(self, kind: str, heard: Heard) -> None:
        self._heard.setdefault(kind, []).append(heard)

    def when_connected(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def start(self) -> None:
        self.heal()

    async def stop(self) -> None:
        self.cut()

    def cut(self) -> None:
        """Nothing comes and goes any more."""
        self.is_connected = False

    def heal(self) -> None:
        """Messages come and go again."""
        self.is_connected = True
        for listener in self._listeners:
            listener()

    def hear(self, node: Node, kind: str, message: bytes) -> None:
        if self.is_connected:
            for heard in self._heard.get(kind, ()):
                heard(node, message)
