"""Runs the coroutine of one request over Deferreds.

Twisted's `Deferred.fromCoroutine` does the same for everybody, with a Deferred, a copy of the context and some
closures a coroutine. A request needs none of them: most finish without ever waiting, and thousands may wait for hours.
"""

# mypy: allow-untyped-calls
# Twisted's Failure has no annotations.

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")

# By this name structlog puts it on every line of the log that is written while the request is served.
REQUEST_ID: Final[ContextVar[str]] = ContextVar("structlog_request_id", default="")


class Task(Generic[T]):
    """A coroutine on its way. It must not raise: its failures are its own business."""

    __slots__ = ("_coroutine", "_done", "_request_id", "_waiting")

    def __init__(
        self, coroutine: Coroutine[Deferred[Any], Any, T], done: Callable[[T], None], request_id: str
    ) -> None:
        self._coroutine = coroutine
        self._done = done
        self._request_id = request_id
        self._waiting: Deferred[Any] | None = None

    def start(self) -> None:
        """Run until the first wait, perhaps to the end; call `done` with the result at the end."""
        self._step(None)

    def cancel(self) -> None:
        """Raise CancelledError where the coroutine waits."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _step(self, result: object) -> None:
        self._waiting = None
        token = REQUEST_ID.set(self._request_id)
        try:
            if isinstance(result, Failure):
                # The Deferred is still calling back and cannot give its failure itself.
                waiting = result.throwExceptionIntoGenerator(self._coroutine)
            else:
                waiting = self._coroutine.send(None)
        except StopIteration as stop:
            value: T = stop.value
        else:
            self._waiting = waiting
            # The coroutine takes the result from the Deferred itself.
            _ = waiting.addBoth(self._step)
            return
        finally:
            REQUEST_ID.reset(token)
        self._done(value)
