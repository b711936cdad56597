"""Where database work runs: inside the reactor by greenlets (`storage.green`), or at once (here)."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from storage.connections import Connection

T = TypeVar("T")


class Lane(Protocol):
    """Runs a limited number of functions at a time; the others wait in order."""

    def run(self, fn: Callable[[], T]) -> Deferred[T]:
        """Run `fn`; the Deferred fires on the reactor with what it returns or raises."""


class Workers(Protocol):
    """Gives lanes, and knows how to wait."""

    def lane(self, size: int) -> Lane:
        """A lane for `size` functions at a time."""

    def adopt(self, opened: Connection) -> None:
        """Take a new connection into care: called once, from the function that opened it."""

    def pause(self, seconds: float) -> None:
        """Wait, called from inside a running function."""


class InlineWorkers:
    """Runs each function at once in the calling thread: for tests, commands and plain threads."""

    def lane(self, size: int) -> "InlineWorkers":
        """The same for all."""
        return self

    def run(self, fn: Callable[[], T]) -> Deferred[T]:
        """Run `fn` now; the Deferred has already fired."""
        try:
            return succeed(fn())
        except Exception:
            return fail()

    def adopt(self, opened: Connection) -> None:
        """Nothing to do: psycopg2 waits for the socket itself."""

    def pause(self, seconds: float) -> None:
        """Block the thread."""
        time.sleep(seconds)  # noqa: TID251 - there is no reactor here
