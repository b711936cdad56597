"""Database work inside the reactor: synchronous functions over non-blocking sockets.

A function that talks to PostgreSQL runs as a greenlet. When it has to wait for the server, psycopg2 calls `_wait`,
which switches back to the reactor; the reactor switches in again when the socket is readable. So there is no thread, no
hop between threads and no fight for the interpreter lock, which under load cost hundreds of milliseconds (ADR 0001).
Such a function must not compute for long: the reactor stands still meanwhile.
"""

import os
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import structlog
from greenlet import getcurrent, greenlet
from psycopg2 import OperationalError
from psycopg2.extensions import POLL_OK, POLL_READ, connection, set_wait_callback
from psycopg2.extras import wait_select
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

from storage.connections import Connection

T = TypeVar("T")

CONNECT_SECONDS = 10

log = structlog.get_logger(__name__)


class Job(greenlet, Generic[T]):
    """One function under way."""

    def __init__(self, fn: Callable[[], T], lane: "GreenLane") -> None:
        super().__init__(self._body)
        self._fn = fn
        self.lane = lane
        self.done: Deferred[T] = Deferred()
        self._failure: Exception | None = None

    def resume(self) -> None:
        """Go on until the next wait or the end; called on the reactor only."""
        value = self.switch()
        if not self.dead:
            return
        self.lane.finished()
        if self.done.called:  # whoever awaited it was cancelled
            if self._failure is not None:
                log.error("database_job_failed_unseen", exc_info=self._failure)
        elif self._failure is not None:
            self.done.errback(self._failure)
        else:
            self.done.callback(value)

    def _body(self) -> T | None:
        try:
            return self._fn()
        except Exception as error:
            self._failure = error
            return None


class GreenLane:
    """Runs at most `size` jobs at a time."""

    def __init__(self, workers: "GreenWorkers", size: int) -> None:
        self.workers = workers
        self._free = size
        self._queue: deque[Job[Any]] = deque()

    def run(self, fn: Callable[[], T]) -> Deferred[T]:
        """Start `fn` now if the lane is free, else after those before it."""
        job = Job(fn, self)
        if self._free and self.workers.on_reactor():
            self._start(job)
        elif self._free:  # called from inside a job: that one goes on first
            self._free -= 1
            self.workers.reactor.callLater(0, _enter, job)
        else:
            self._queue.append(job)
        return job.done

    def finished(self) -> None:
        """A job ended: start the next."""
        self._free += 1
        if self._queue:
            self._start(self._queue.popleft())

    def _start(self, job: Job[Any]) -> None:
        self._free -= 1
        _enter(job)


class GreenWorkers:
    """Runs database work inside `reactor` (which needs file descriptors: epoll, poll, select)."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        set_wait_callback(_wait)

    def lane(self, size: int) -> GreenLane:
        """A lane for `size` functions at a time."""
        return GreenLane(self, size)

    def adopt(self, opened: Connection) -> None:
        """Watch the connection's socket from now on."""
        opened.socket = _Socket(opened, self.reactor)

    def pause(self, seconds: float) -> None:
        """Let the reactor do other things for a while."""
        job = getcurrent()
        if not isinstance(job, Job):
            raise RuntimeError("pause() belongs into a database job")
        self.reactor.callLater(seconds, job.resume)
        _suspend(job)

    def on_reactor(self) -> bool:
        """Whether this is the reactor's own flow, not a job's."""
        return not isinstance(getcurrent(), Job)


@implementer(IReadWriteDescriptor)
class _Socket:
    """A connection's socket in the reactor: wakes the job that waits for it.

    It watches a duplicate of the descriptor, because libpq closes its own as soon as the connection breaks.
    """

    def __init__(self, opened: connection, reactor: Any) -> None:
        self._opened = opened
        self._reactor = reactor
        self._fileno = os.dup(opened.fileno())
        self._waiting: Job[Any] | None = None
        reactor.addReader(self)

    def wait(self, job: Job[Any], state: int) -> None:
        """Suspend `job` until the socket is ready."""
        self._waiting = job
        if state != POLL_READ:
            self._reactor.addWriter(self)
        _suspend(job)

    def detach(self) -> None:
        """Leave the reactor; before the connection is closed."""
        if self._fileno >= 0:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            os.close(self._fileno)
            self._fileno = -1

    def fileno(self) -> int:
        """For the reactor."""
        return self._fileno

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "postgresql"

    def doRead(self) -> None:
        """The server answered, or hung up."""
        if self._waiting is not None:
            self._wake()
            return
        try:
            self._opened.poll()
        except OperationalError:
            self.connectionLost(None)

    def doWrite(self) -> None:
        """There is room for the rest of a long statement."""
        self._reactor.removeWriter(self)
        self._wake()

    def connectionLost(self, reason: object) -> None:
        """The socket is broken: who waits learns it from psycopg2, who comes later finds it closed."""
        if self._waiting is not None:
            self._wake()
        else:
            self.detach()
            self._opened.close()

    def _wake(self) -> None:
        job, self._waiting = self._waiting, None
        if job is not None:
            job.resume()


def _enter(job: Job[Any]) -> None:
    """Begin a job; its waits give control back to here."""
    job.parent = getcurrent()
    job.resume()


def _suspend(job: Job[Any]) -> None:
    parent = job.parent
    if parent is None:
        raise RuntimeError("a job without the reactor's greenlet")
    parent.switch()


def _wait(opened: connection) -> None:
    """What psycopg2 calls whenever it has to wait, in any thread."""
    job = getcurrent()
    if not isinstance(job, Job):
        wait_select(opened)
        return
    socket = getattr(opened, "socket", None)
    if socket is None:
        _wait_connecting(opened, job)
        return
    while (state := opened.poll()) != POLL_OK:
        socket.wait(job, state)


def _wait_connecting(opened: connection, job: Job[Any]) -> None:
    """The same before the connection stands; its descriptor may change between two polls."""
    reactor = job.lane.workers.reactor
    late: list[bool] = []

    def give_up() -> None:
        late.append(True)
        job.resume()

    timeout = reactor.callLater(CONNECT_SECONDS, give_up)
    try:
        while (state := opened.poll()) != POLL_OK:
            socket = _Socket(opened, reactor)
            try:
                socket.wait(job, state)
            finally:
                socket.detach()
            if late:
                raise OperationalError(f"no connection to PostgreSQL within {CONNECT_SECONDS} s")
    finally:
        if timeout.active():
            timeout.cancel()
