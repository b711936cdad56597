"""Keys and messages to devices where two nodes serve one database, and people talk now to one and now to the other.

The same is held to as with one node: each one-time key once and in order, messages once and in order, device lists
right in the end. That a position was committed is told to the other node at once, as a bus does.
"""

from collections.abc import Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from storage.database import Database
from storage.journal import Journal, Landed
from tests.client_api.sync_site import SyncSite
from tests.harness.postgres import TestDatabase
from tests.simulation.test_e2ee import NAMES, Encryption, people


class Nodes(Encryption):
    """Three people, in one room at first."""

    def __init__(self) -> None:
        super().__init__()
        for name in NAMES:
            if name not in self.members[0]:
                self.people[name].join(self.rooms[0])
                self.members[0].add(name)
        for name in NAMES:
            self.sync(name, lost=False)
        self.nodes = [self.site, SyncSite(self.database, seed=1_000)]
        self._connect()

    @rule(name=people, node=st.integers(0, 1))
    def turn_to(self, name: str, node: int) -> None:
        """Talk to a node from now on."""
        person = self.people[name]
        person.sync_site = self.nodes[node]
        person.reconnect()

    @rule()
    def restart(self) -> None:
        """Both begin with empty memory."""
        for node in self.nodes:
            node.start()
        self._connect()
        for person in self.people.values():
            person.reconnect()

    def _connect(self) -> None:
        for node, other in (self.nodes, self.nodes[::-1]):
            _tell(node.journal, other.journal)


def _tell(journal: Journal, other: Journal) -> None:
    def landed(first: int, last: int, writes: Sequence[Landed]) -> None:
        other.observe(last)

    journal.listen(landed)


def test_encryption_is_served_by_two_nodes(database: Database, test_database: TestDatabase) -> None:
    machine = type("NodesHere", (Nodes,), {"database": database, "test_database": test_database})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
