"""Two nodes of one server in one process: one database, one clock, one bus."""

from collections.abc import Mapping
from typing import Any

from homeserver.bus import Bus
from homeserver.clock import Clock
from storage.database import Database
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.bus import MemoryBus, MemoryExchange
from tests.harness.client import Client
from tests.harness.memory import SteppingClock, result_of


class Nodes:
    """The two, and the people who talk now to one and now to the other."""

    def __init__(self, database: Database, changes: Mapping[str, object] | None = None) -> None:
        self.database = database
        self.clock = SteppingClock()
        self.exchange = MemoryExchange(self.clock)
        self.a, self.b = (Node(self, seed, changes) for seed in (0, 1_000))
        self.turn()

    def turn(self, seconds: float = 0.0) -> None:
        """Let messages arrive."""
        self.clock.advance(seconds)
        for _ in range(5):
            self.clock.advance(0.02)

    def people(self, *names: str) -> list[Syncer]:
        """Some people, at A."""
        made = self.a.people(*names)
        self.turn()
        return made

    def at(self, node: "Node", person: Syncer) -> Syncer:
        """The same client at a node, which has what it has learnt so far."""
        there = Syncer(
            node, {"user_id": person.user_id, "device_id": person.device_id, "access_token": person.token}
        )
        there.since = person.since
        return there


class Node(SyncSite):
    """One of them."""

    memory: MemoryBus

    def __init__(self, nodes: Nodes, seed: int, changes: Mapping[str, object] | None = None) -> None:
        self.nodes = nodes
        super().__init__(nodes.database, changes, seed=seed)

    def start(self) -> None:
        """Begin with empty memory."""
        self.clock = self.nodes.clock
        super().start()
        self.app.nodes.start()
        self.http = Client(self.app.site("client"), pump=lambda: self.clock.advance(0.01))
        self.http.get("/_matrix/client/versions")

    def next_transaction(self) -> str:
        """One that neither node has used."""
        return f"{self.memory.node}{super().next_transaction()}"

    def process_clock(self) -> Clock:
        return self.nodes.clock

    def bus(self) -> Bus:
        self.memory = self.nodes.exchange.bus(f"node{self._seed}")
        return self.memory

    def die(self) -> None:
        """End without a word: nothing of it is heard or done any more."""
        self.memory.cut()
        self.nodes.exchange.buses.remove(self.memory)
        for task in self.app.nodes._background:
            _ = task.addErrback(lambda failure: None)
            task.cancel()
        timer: Any = self.app.nodes.roll._timer
        timer.cancel()
        self.app.sync.stop()

    def end(self) -> None:
        """End in order."""
        result_of(self.app.nodes.stop(), lambda: self.clock.advance(0.01))
        self.app.sync.stop()
