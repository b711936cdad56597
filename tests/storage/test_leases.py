"""Leases: one holder at a time, and they move when a node dies."""

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as Timers

from homeserver.clock import Timer
from storage.database import Database
from storage.leases import Lease, LeaseLost, Leases
from storage.transaction import Transaction
from tests.harness.postgres import TestDatabase


class TestClock:
    """The time of one node, moved by hand."""

    __test__ = False

    def __init__(self) -> None:
        self.timers = Timers()

    def now_ms(self) -> int:
        return int(self.timers.seconds() * 1000)

    def seconds(self) -> float:
        return self.timers.seconds()

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: object) -> Timer:
        return self.timers.callLater(seconds, function, *arguments)

    async def sleep(self, seconds: float) -> None:
        done: Deferred[None] = Deferred()
        self.timers.callLater(seconds, done.callback, None)
        await done


class Node:
    """One node's leases."""

    def __init__(self, database: Database, name: str) -> None:
        self.clock = TestClock()
        self.leases = Leases(database, self.clock, name, seconds=30)

    def hold(self, name: str) -> list[Lease]:
        """A list that the lease is put into."""
        got: list[Lease] = []
        Deferred.fromCoroutine(self.leases.hold(name)).addCallback(got.append)
        return got

    def passes(self, seconds: float) -> None:
        self.clock.timers.advance(seconds)


@pytest.fixture
def nodes(database: Database) -> tuple[Node, Node]:
    return Node(database, "one"), Node(database, "two")


def die(test_database: TestDatabase) -> None:
    """The database's time passes: what is not renewed runs out."""
    test_database.rows("update leases set until = until - interval '31 s'")


def test_a_free_lease_is_had_at_once(nodes: tuple[Node, Node]) -> None:
    (lease,) = nodes[0].hold("work")
    assert lease.held


def test_nobody_else_gets_it_meanwhile(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    (lease,) = one.hold("work")
    waiting = two.hold("work")
    for _ in range(10):
        one.passes(10)
        two.passes(10)
    assert waiting == []
    assert lease.held


def test_it_moves_when_its_holder_dies(nodes: tuple[Node, Node], test_database: TestDatabase) -> None:
    one, two = nodes
    (lease,) = one.hold("work")
    waiting = two.hold("work")
    die(test_database)
    two.passes(10)
    assert waiting[0].held
    lost: list[object] = []
    lease.lost.addCallback(lost.append)
    one.passes(10)
    assert not lease.held
    assert lost == [None]


def test_a_holder_that_cannot_renew_stops_before_the_lease_runs_out(nodes: tuple[Node, Node]) -> None:
    one = nodes[0]
    (lease,) = one.hold("work")
    one.clock.timers.rightNow += 24.9
    assert lease.held
    one.clock.timers.rightNow += 0.2
    assert not lease.held


def test_a_released_lease_is_free(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    (lease,) = one.hold("work")
    waiting = two.hold("work")
    Deferred.fromCoroutine(lease.release())
    assert not lease.held
    two.passes(10)
    assert waiting[0].held


def test_two_tasks_of_one_node_take_turns(nodes: tuple[Node, Node], test_database: TestDatabase) -> None:
    one = nodes[0]
    (first,) = one.hold("work")
    second = one.hold("work")
    assert second == []
    Deferred.fromCoroutine(first.release())
    assert second[0].held
    assert not first.held
    assert test_database.rows("select name, holder from leases") == [("work", "one")]


def test_who_no_longer_waits_gets_nothing(nodes: tuple[Node, Node], test_database: TestDatabase) -> None:
    one, two = nodes
    one.hold("work")
    waiting = Deferred.fromCoroutine(two.leases.hold("work")).addErrback(lambda failure: None)
    waiting.cancel()
    die(test_database)
    two.passes(10)
    assert test_database.rows("select holder from leases") == [("one",)]


def test_stopping_frees_everything(nodes: tuple[Node, Node], test_database: TestDatabase) -> None:
    one, _ = nodes
    leases = one.hold("a") + one.hold("b")
    Deferred.fromCoroutine(one.leases.stop())
    assert [lease.held for lease in leases] == [False, False]
    assert test_database.rows("select * from leases") == []


def test_work_is_fenced_by_the_database(
    nodes: tuple[Node, Node], database: Database, test_database: TestDatabase
) -> None:
    (lease,) = nodes[0].hold("work")
    failures: list[object] = []
    database.transact(lease.fence).addErrback(lambda failure: failures.append(failure.type))
    assert failures == []
    die(test_database)
    database.transact(lease.fence).addErrback(lambda failure: failures.append(failure.type))
    assert failures == [LeaseLost]


def test_many_leases_are_renewed_by_one_statement(
    nodes: tuple[Node, Node], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = nodes[0]
    for number in range(50):
        one.hold(f"work {number}")
    ran: list[int] = []
    run = database.writers.run

    def counted(fn: Callable[[Transaction], object]) -> object:
        def counting(tx: Transaction) -> object:
            value = fn(tx)
            ran.append(tx.queries)
            return value

        return run(counting)

    monkeypatch.setattr(database.writers, "run", counted)
    one.passes(10)
    assert ran == [1]
