"""`python -m benchmarks.journal`: how fast durable writes and reads are, with and without a busy reactor.

Rows are as large as events (about 600 bytes). The server is an embedded one with fsync, in a directory of its own.
Compares three ways to run database work: greenlets in the reactor (what the server does), and threads with two
settings of the interpreter's switch interval.
"""

import argparse
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from shutil import rmtree
from statistics import median
from tempfile import mkdtemp
from time import perf_counter, process_time
from typing import Any, TypeVar

import psycopg2
from twisted.internet import epollreactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from storage.connections import Connection
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.green import GreenWorkers
from storage.journal import Journal, Write
from storage.migrate import migrate
from storage.query import bulk
from storage.workers import InlineWorkers

T = TypeVar("T")
ROWS = bulk("benchmark_rows", ("row_id", "body"), position="pos")
BODY = "x" * 600


class ThreadWorkers:
    """What the server does not use: a pool of threads, one hop there and one back."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def lane(self, size: int) -> "ThreadLane":
        """As many threads as `size`."""
        return ThreadLane(self._reactor, size)

    def adopt(self, opened: Connection) -> None:
        """Nothing to do."""

    def pause(self, seconds: float) -> None:
        """Block the thread."""
        InlineWorkers().pause(seconds)


class ThreadLane:
    """Threads that take functions from one queue."""

    def __init__(self, reactor: Any, size: int) -> None:
        self._reactor = reactor
        self._queue: SimpleQueue[tuple[Callable[[], Any], Deferred[Any]]] = SimpleQueue()
        for _ in range(size):
            threading.Thread(target=self._work, daemon=True).start()

    def run(self, fn: Callable[[], T]) -> Deferred[T]:
        """Run `fn` on the next free thread."""
        done: Deferred[T] = Deferred()
        self._queue.put((fn, done))
        return done

    def _work(self) -> None:
        while True:
            fn, done = self._queue.get()
            try:
                result = fn()
            except Exception as error:
                self._reactor.callFromThread(done.errback, error)
            else:
                self._reactor.callFromThread(done.callback, result)


class Load:
    """Keeps the reactor busy as requests do: `milliseconds` of Python, then a write and a read of a socket."""

    def __init__(self, reactor: Any, milliseconds: float) -> None:
        self._reactor = reactor
        self._seconds = milliseconds / 1000
        self._ends = socket.socketpair()
        self._on = bool(milliseconds)
        self.turns = 0
        if self._on:
            self._turn()

    def stop(self) -> None:
        """Leave the reactor alone."""
        self._on = False

    def _turn(self) -> None:
        if not self._on:
            return
        until = perf_counter() + self._seconds
        while perf_counter() < until:
            pass
        self.turns += 1
        self._ends[0].send(b"x")
        self._ends[1].recv(1)
        self._reactor.callLater(0, self._turn)


async def measure(name: str, action: Callable[[], Deferred[Any]], writers: int, total: int) -> None:
    """Print how long `total` actions by `writers` at a time take."""
    taken: list[float] = []

    async def one(count: int) -> None:
        for _ in range(count):
            started = perf_counter()
            await action()
            taken.append(perf_counter() - started)

    started, cpu = perf_counter(), process_time()
    await gatherResults([Deferred.fromCoroutine(one(total // writers)) for _ in range(writers)])
    elapsed, cpu = perf_counter() - started, process_time() - cpu
    taken.sort()
    print(
        f"  {name:<20} {writers:>4} at once {len(taken) / elapsed:>7.0f}/s {cpu / len(taken) * 1e6:>5.0f} us of our CPU"
        f"  p10 {taken[len(taken) // 10] * 1000:>6.2f} ms  p50 {median(taken) * 1000:>7.2f} ms"
        f"  p95 {taken[int(len(taken) * 0.95)] * 1000:>7.2f} ms  worst {taken[-1] * 1000:>7.1f} ms"
    )


async def run(reactor: Any, dsn: str, workers: Any, label: str, loads: list[float]) -> None:
    """All measurements with one kind of workers."""
    database = Database(dsn, workers, 8)
    journal = Journal(database, label)
    await journal.start()
    numbers = iter(range(10**9))

    def write() -> Deferred[Any]:
        return journal.write(Write([ROWS.row(f"{label}{next(numbers)}", BODY)]))

    def read() -> Deferred[Any]:
        return database.read(three)

    def three(tx: Any) -> None:
        for _ in range(3):
            tx.execute(
                "select * from benchmark_rows where pos > %s order by pos limit 20", (journal.position - 50,)
            )
            tx.rows()

    await measure("(warming up)", write, 8, 400)
    for milliseconds in loads:
        print(
            f" {label}, reactor busy with {milliseconds} ms chunks"
            if milliseconds
            else f" {label}, reactor idle"
        )
        load = Load(reactor, milliseconds)
        scale = 10 if milliseconds else 1
        await measure("write", write, 1, 1000 // scale)
        await measure("write", write, 64, 12800 // scale)
        await measure("write", write, 256, 25600 // scale)
        await measure("read, three queries", read, 1, 1000 // scale)
        await measure("read, three queries", read, 8, 4000 // scale)
        load.stop()
    database.close()


async def main(reactor: Any, dsn: str, loads: list[float]) -> None:
    """Greenlets, then threads."""
    for interval in (0.005, 0.0001):
        sys.setswitchinterval(interval)
        print(f"threads, switch interval {interval * 1000} ms")
        await run(reactor, dsn, ThreadWorkers(reactor), f"threads{interval}", loads)
    sys.setswitchinterval(0.005)
    print("greenlets")
    await run(reactor, dsn, GreenWorkers(reactor), "greenlets", loads)


def _tell(failure: Failure) -> None:
    print(failure.getTraceback())


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--loads", default="0,0.3", help="milliseconds of Python a reactor turn, comma separated"
    )
    arguments = options.parse_args()
    folder = Path(mkdtemp(prefix="meridian-benchmark-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder)
    try:
        dsn = server.start()
        migrate(dsn)
        with psycopg2.connect(dsn) as opened, opened.cursor() as cursor:
            cursor.execute(
                "create table benchmark_rows (pos bigint primary key, row_id text unique, body text not null)"
            )
        opened.close()
        reactor = epollreactor.EPollReactor()
        work = Deferred.fromCoroutine(
            main(reactor, dsn, [float(each) for each in arguments.loads.split(",")])
        )
        _ = work.addErrback(_tell).addBoth(lambda _: reactor.callLater(0, reactor.stop))
        reactor.run()
    finally:
        server.stop()
        rmtree(folder, ignore_errors=True)
