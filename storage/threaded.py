"""Reads for work that computes for long: on threads, with connections of their own, while the reactor goes on."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

from storage.database import Database
from storage.transaction import Transaction

T = TypeVar("T")


class Threads(Protocol):
    """Runs functions away from the reactor."""

    def run(self, function: Callable[[], T]) -> Deferred[T]:
        """Return a Deferred, fired on the reactor, with what the function returns or raises."""


class ThreadedReads:
    """Like `Database.read`, but the function may compute as long as it likes."""

    def __init__(self, database: Database, threads: Threads) -> None:
        """`database` is for the threads alone: whoever uses it waits."""
        self._database = database
        self._threads = threads

    def read(self, fn: Callable[[Transaction], T]) -> Deferred[T]:
        """Run `fn` on a thread, in a session that cannot write.

        Each of its statements sees what is committed when it starts.
        """
        return self._threads.run(lambda: self._database.readers.run(fn))

    def close(self) -> None:
        """Close the idle connections."""
        self._database.close()
