"""Work that follows the journal: on one node at a time, and on another one when that dies."""

import pytest

from homeserver.background.following import Following
from storage.database import Database
from storage.journal import Journal
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase
from tests.storage.test_leases import Node, die


class Worker:
    """A node that does a work in steps; ``more`` steps are left to do."""

    def __init__(self, database: Database, name: str) -> None:
        self.node = Node(database, name)
        self.steps = self.more = 0
        self.failures = 0
        self.following = Following(
            "work", self.step, self.node.leases, Journal(database, name), self.node.clock
        )
        self.following.start()

    async def step(self) -> bool:
        if self.failures:
            self.failures -= 1
            raise ValueError("as the test wants it")
        self.steps += 1
        self.more = max(self.more - 1, 0)
        return self.more > 0

    def passes(self, seconds: int) -> None:
        """Time passes for this node."""
        for _ in range(seconds):
            self.node.passes(1)

    def stop(self) -> None:
        result_of(self.following.stop(), lambda: self.node.passes(1))


@pytest.fixture
def workers(database: Database) -> tuple[Worker, Worker]:
    return Worker(database, "one"), Worker(database, "two")


def test_one_node_works_and_the_other_waits(workers: tuple[Worker, Worker]) -> None:
    one, two = workers
    for _ in range(10):
        one.passes(5)
        two.passes(5)
    assert one.steps > 1
    assert two.steps == 0


def test_work_is_taken_over_from_a_node_that_died(
    workers: tuple[Worker, Worker], test_database: TestDatabase
) -> None:
    one, two = workers
    done = one.steps
    die(test_database)
    two.passes(30)
    assert two.steps > 0
    before = two.steps
    for _ in range(10):
        one.passes(5)
        two.passes(5)
    assert one.steps == done, "a node that was given up for dead does not go on"
    assert two.steps > before


def test_work_is_handed_over_at_once_by_a_node_that_stops(workers: tuple[Worker, Worker]) -> None:
    one, two = workers
    one.stop()
    result_of(one.node.leases.stop(), lambda: one.node.passes(1))
    two.passes(10)
    assert two.steps > 0


def test_work_goes_on_after_a_failure(workers: tuple[Worker, Worker]) -> None:
    one, _ = workers
    one.failures = 2
    done = one.steps
    one.passes(30)
    assert one.steps > done
    assert one.failures == 0
