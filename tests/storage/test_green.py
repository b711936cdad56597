"""Database work inside a real reactor: many at once, and the reactor goes on meanwhile."""

from collections.abc import Callable, Coroutine
from typing import Any

import psycopg2
import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.selectreactor import SelectReactor

from storage.database import Database, DatabaseUnavailable
from storage.green import GreenWorkers
from storage.journal import Journal, Write
from storage.transaction import Transaction
from tests.harness.postgres import TestDatabase

SECONDS = 20
RUNNING = """select count(*) from pg_stat_activity
    where query like %s and state = 'active' and pid <> pg_backend_pid()"""
END = "select pg_terminate_backend(pid) from pg_stat_activity where query like %s and pid <> pg_backend_pid()"


class Loop:
    """A reactor of the test's own."""

    def __init__(self, dsn: str) -> None:
        self.reactor: Any = SelectReactor()
        self.workers = GreenWorkers(self.reactor)
        self.database = Database(dsn, self.workers, 4)

    def run(self, work: Callable[[], Coroutine[Deferred[Any], Any, Any]]) -> Any:
        """Run the reactor until the coroutine ends; gives or raises what it does."""
        outcome: list[Any] = []
        failures: list[BaseException] = []

        def begin() -> None:
            done = Deferred.fromCoroutine(work())
            done.addCallbacks(outcome.append, lambda failure: failures.append(failure.value))
            done.addBoth(lambda _: self.reactor.callLater(0, self.reactor.stop))

        self.reactor.callWhenRunning(begin)
        timeout = self.reactor.callLater(SECONDS, self.reactor.stop)
        self.reactor.run(installSignalHandlers=False)
        if timeout.active():
            timeout.cancel()
        self.database.close()
        if failures:
            raise failures[0]
        return outcome[0]

    async def sleep(self, seconds: float) -> None:
        done: Deferred[None] = Deferred()
        self.reactor.callLater(seconds, done.callback, None)
        await done


@pytest.fixture
def loop(test_database: TestDatabase) -> Loop:
    return Loop(test_database.dsn)


def slowly(seconds: float) -> Callable[[Transaction], float]:
    def sleep(tx: Transaction) -> float:
        tx.execute("select pg_sleep(%s)", (seconds,))
        return seconds

    return sleep


def test_the_reactor_goes_on_while_the_server_works(loop: Loop) -> None:
    ticks: list[int] = []

    async def work() -> None:
        def tick() -> None:
            ticks.append(1)
            loop.reactor.callLater(0.005, tick)

        tick()
        await loop.database.read(slowly(0.2))

    loop.run(work)
    assert len(ticks) > 10


def test_as_many_run_at_once_as_the_lane_is_wide(loop: Loop, test_database: TestDatabase) -> None:
    async def work() -> list[list[tuple[object, ...]]]:
        jobs = [loop.database.read(slowly(0.3)) for _ in range(10)]
        await loop.sleep(0.15)
        seen = [test_database.rows(RUNNING, "%pg_sleep(0.3)%")]
        await gatherResults(jobs)
        return seen

    assert loop.run(work) == [[(4,)]]


def test_a_long_statement_and_a_long_answer_pass(loop: Loop) -> None:
    text = "x" * 5_000_000

    async def work() -> str:
        def echo(tx: Transaction) -> str:
            tx.execute("select %s", (text,))
            row = tx.row()
            return str(row and row[0])

        return await loop.database.read(echo)

    assert loop.run(work) == text


def test_a_job_may_start_another(loop: Loop) -> None:
    async def work() -> float:
        started: list[Deferred[float]] = []

        def outer(tx: Transaction) -> None:
            tx.execute("select 1")
            started.append(loop.database.read(slowly(0.01)))
            tx.execute("select pg_sleep(0.02)")

        await loop.database.read(outer)
        return await started[0]

    assert loop.run(work) == 0.01


def test_who_goes_away_leaves_the_lane_free(loop: Loop) -> None:
    async def work() -> float:
        cancelled: list[object] = []
        gone: list[Deferred[Any]] = [loop.database.read(slowly(0.1)) for _ in range(8)]
        for job in gone:
            job.addErrback(lambda failure: cancelled.append(failure.type))
            job.cancel()
        assert cancelled == [CancelledError] * 8
        return await loop.database.read(slowly(0.01))

    assert loop.run(work) == 0.01


def test_a_read_survives_the_end_of_its_session(loop: Loop, test_database: TestDatabase) -> None:
    async def work() -> float:
        job = loop.database.read(slowly(0.4))
        await loop.sleep(0.1)
        test_database.rows(END, "%pg_sleep(0.4)%")
        return await job

    assert loop.run(work) == 0.4


def test_sessions_that_ended_while_idle_are_replaced(loop: Loop, test_database: TestDatabase) -> None:
    async def work() -> float:
        await loop.database.read(slowly(0))
        test_database.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'meridian reader'"
        )
        await loop.sleep(0.05)
        return await loop.database.read(slowly(0.01))

    assert loop.run(work) == 0.01


def test_a_reading_session_cannot_write(loop: Loop) -> None:
    async def work() -> None:
        await loop.database.read(lambda tx: tx.execute("update stream set pos = 7"))

    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        loop.run(work)


def test_a_transaction_that_raises_is_rolled_back(loop: Loop, test_database: TestDatabase) -> None:
    def fails(tx: Transaction) -> None:
        tx.execute("update stream set pos = 7")
        raise ValueError("no")

    async def work() -> None:
        await loop.database.transact(fails)

    with pytest.raises(ValueError, match="no"):
        loop.run(work)
    assert test_database.rows("select pos from stream") == [(0,)]


def test_transactions_that_deadlock_are_run_again(loop: Loop, test_database: TestDatabase) -> None:
    test_database.rows("insert into leases values ('a', '', now()), ('b', '', now())")
    update = "update leases set holder = holder || %s where name = %s"

    def crossing(first: str, second: str) -> Callable[[Transaction], None]:
        def run(tx: Transaction) -> None:
            tx.execute(update, (first, first))
            tx.execute("select pg_sleep(0.1)")
            tx.execute(update, (first, second))

        return run

    async def work() -> object:
        return await gatherResults(
            [loop.database.transact(crossing("a", "b")), loop.database.transact(crossing("b", "a"))]
        )

    loop.run(work)
    holders = [set(str(holder)) for (holder,) in test_database.rows("select holder from leases")]
    assert holders == [{"a", "b"}, {"a", "b"}]


def test_writers_share_commits(loop: Loop, test_database: TestDatabase) -> None:
    groups: list[tuple[int, int]] = []

    async def work() -> list[Any]:
        journal = Journal(loop.database, "green")
        await journal.start()
        journal.listen(lambda first, last, landed: groups.append((first, len(landed))))
        return list(await gatherResults([journal.write(Write(run=lambda tx: None)) for _ in range(100)]))

    committed = loop.run(work)
    assert len(committed) == 100
    assert [size for _, size in groups] == [1, 99]


def test_a_server_that_is_away_is_told_after_a_while(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.database.RECONNECT_PAUSES", (0.0, 0.01, 0.01))
    loop.database.dsn = "host=/nonexistent dbname=x"

    async def work() -> None:
        await loop.database.read(slowly(0))

    with pytest.raises(DatabaseUnavailable, match="nonexistent"):
        loop.run(work)
