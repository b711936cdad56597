"""PostgreSQL as the rest of the program sees it: functions that run in a transaction.

    rows = await database.read(lambda tx: Receipts(tx).between(rooms, since, upto))

`read` is for functions that only read: without BEGIN and COMMIT, each statement sees what is committed when it starts,
as in any READ COMMITTED transaction, and the session refuses to write. `transact` is for short writes that need no
stream position. What a client may have to see is written through `storage.journal`.
"""

from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

import psycopg2
from twisted.internet.defer import Deferred

from storage import metrics
from storage.connections import Connection, connect, disconnect, is_broken, is_retriable
from storage.transaction import Transaction
from storage.workers import Lane, Workers

T = TypeVar("T")

RETRIES = 5
RECONNECT_PAUSES = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 3.0, 3.0)


class DatabaseUnavailable(Exception):
    """PostgreSQL cannot be reached, or `Database.close` was called."""


class Database:
    """Connections to one PostgreSQL database, and who may use them when."""

    def __init__(self, dsn: str, workers: Workers, size: int = 8) -> None:
        """`size`: how many transactions run at the same time; at most as many connections are kept of each kind."""
        self.dsn = dsn
        self.workers = workers
        self.closed = False
        self._pools: dict[str, Pool] = {}
        self.readers = self.pool("meridian reader", read_only=True)
        self.writers = self.pool("meridian writer")
        self._lane: Lane = workers.lane(size)
        self._reading = metrics.TRANSACTION_SECONDS.labels("read").observe
        self._writing = metrics.TRANSACTION_SECONDS.labels("write").observe

    def read(self, fn: Callable[[Transaction], T]) -> Deferred[T]:
        """Run `fn` on a session that cannot write; it may be run again, so it must have no effect of its own."""
        started = perf_counter()

        def job() -> T:
            try:
                return self.readers.run(fn)
            finally:
                self._reading(perf_counter() - started)

        return self._lane.run(job)

    def transact(self, fn: Callable[[Transaction], T]) -> Deferred[T]:
        """Run `fn` in one transaction; the Deferred fires after its commit.

        It is run again after a serialization failure, a deadlock, or a connection lost before the commit.
        Raises what `fn` raises, after a rollback.
        """
        started = perf_counter()

        def job() -> T:
            try:
                return self.writers.run(fn)
            finally:
                self._writing(perf_counter() - started)

        return self._lane.run(job)

    def close(self) -> None:
        """Close the idle connections now, those in use when their transaction ends."""
        self.closed = True
        for pool in self._pools.values():
            pool.close()

    def pool(self, application: str, *, read_only: bool = False) -> "Pool":
        """The pool whose sessions have this `application_name`; made when first asked for."""
        if application not in self._pools:
            self._pools[application] = Pool(self, application, read_only=read_only)
        return self._pools[application]


class Pool:
    """Connections of one kind, those that are idle with the last used at the end, and transactions on them."""

    def __init__(self, database: Database, application: str, *, read_only: bool = False) -> None:
        self._database = database
        self._application = application
        self._read_only = read_only
        self.idle: list[Connection] = []

    def run(self, fn: Callable[[Transaction], T]) -> T:
        """One transaction with its retries; called inside a worker."""
        for retries_left in reversed(range(RETRIES)):
            opened = self.take()
            try:
                value = self._once(opened, fn)
            except BaseException as error:
                lost = is_broken(opened)
                self.give(opened)
                if not retries_left or not (
                    is_retriable(error) or (lost and not isinstance(error, CommitUnknown))
                ):
                    raise
                metrics.TRANSACTION_RETRIES.inc()
            else:
                self.give(opened)
                return value
        raise AssertionError("unreachable")

    def take(self) -> Connection:
        """An idle connection or a new one; raises DatabaseUnavailable if the server stays away."""
        while self.idle:
            opened = self.idle.pop()
            if not is_broken(opened):
                return opened
            disconnect(opened)
        return self._open()

    def give(self, opened: Connection) -> None:
        """Take back a connection on which no transaction is open, or a broken one."""
        if self._database.closed or is_broken(opened):
            disconnect(opened)
        else:
            self.idle.append(opened)

    def close(self) -> None:
        """Close what is idle."""
        while self.idle:
            disconnect(self.idle.pop())

    def _open(self) -> Connection:
        database = self._database
        problem = ""
        for pause in RECONNECT_PAUSES:
            if database.closed:
                raise DatabaseUnavailable("the database was closed")
            if pause:
                database.workers.pause(pause)
            try:
                opened = connect(database.dsn, self._application, read_only=self._read_only)
            except psycopg2.OperationalError as error:
                problem = str(error).strip()
                continue
            database.workers.adopt(opened)
            return opened
        raise DatabaseUnavailable(problem)

    def _once(self, opened: Connection, fn: Callable[[Transaction], T]) -> T:
        with opened.cursor() as cursor:
            tx = Transaction(cursor, "" if self._read_only else "begin;")
            try:
                value = fn(tx)
            except BaseException:
                if tx.begun and not self._read_only and not is_broken(opened):
                    roll_back(opened)
                raise
            if tx.begun and not self._read_only:
                commit(opened, tx)
            metrics.QUERIES.inc(tx.queries)
            return value


class CommitUnknown(psycopg2.OperationalError):
    """The connection was lost during a commit: it may have happened or not."""


def commit(opened: Connection, tx: Transaction) -> None:
    """Commit; raises `CommitUnknown` if the connection breaks meanwhile."""
    try:
        tx.execute("commit")
    except psycopg2.Error as error:
        if is_broken(opened):
            raise CommitUnknown(str(error)) from error
        roll_back(opened)
        raise


def roll_back(opened: Connection) -> None:
    """Roll back as far as the connection lets us; a broken one has rolled back by itself."""
    try:
        with opened.cursor() as cursor:
            cursor.execute("rollback")
    except psycopg2.Error:
        opened.close()
