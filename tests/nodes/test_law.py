"""The law of syncing where two nodes serve one database, clients go to another one whenever they like, and the bus
loses some of what it is given, or is cut.
"""

from storage.database import Database
from tests.client_api.sync_site import Syncer
from tests.harness.postgres import TestDatabase
from tests.nodes.nodes_site import Node, Nodes
from tests.simulation.test_sync_law import Step, World, live_through, lives


class NodesWorld(World):
    """People hop from node to node."""

    def __init__(self, database: Database, filters: tuple[int, int], state_after: bool) -> None:
        self.nodes = Nodes(database)
        self.lost = 0
        super().__init__(database, filters, state_after)
        self.actions = (*self.actions, *(self.hop,) * 8, self.lose, self.cut, self.heal, self.heal)

    def new_site(self, database: Database) -> Node:
        return self.nodes.a

    def hop(self, person: Syncer, a: int, b: int) -> None:
        """Somebody, or somebody's second device, talks to the other node from now on."""
        for each in (person, self.watchers[a % 2]):
            each.sync_site = (self.nodes.a, self.nodes.b)[b % 2]
            each.reconnect()

    def lose(self, person: Syncer, a: int, b: int) -> None:
        """The next messages get lost."""
        self.lost = a % 3
        self.nodes.exchange.loses = self.loses

    def loses(self, kind: str, message: bytes) -> bool:
        self.lost -= kind == "commits"
        return kind == "commits" and self.lost >= 0

    def cut(self, person: Syncer, a: int, b: int) -> None:
        (self.nodes.a, self.nodes.b)[b % 2].memory.cut()

    def heal(self, person: Syncer, a: int, b: int) -> None:
        for node in (self.nodes.a, self.nodes.b):
            if not node.memory.is_connected:
                node.memory.heal()
        self.nodes.turn()

    def restart(self, person: Syncer, a: int, b: int) -> None:
        """One of them, in order."""
        node = (self.nodes.a, self.nodes.b)[b % 2]
        node.end()
        node.start()
        self.heal(person, a, b)
        for each in (*self.people, *self.watchers):
            each.reconnect()

    def check(self) -> None:
        self.heal(self.people[0], 0, 0)
        self.nodes.turn(2.5)
        super().check()


@lives(actions=61, examples=6)
def test_increments_on_any_node_lead_to_what_a_later_first_sync_tells(
    test_database: TestDatabase,
    database: Database,
    steps: list[Step],
    filters: tuple[int, int],
    state_after: bool,
) -> None:
    test_database.empty()
    live_through(NodesWorld(database, filters, state_after), steps)
