"""Work that several callers want at once is done once."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """Runs at most one call per key at a time. A caller that gives up does not stop the call that others wait for."""

    def __init__(self) -> None:
        self._waiting: dict[K, list[Deferred[T]]] = {}

    async def run(self, key: K, call: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the call under way for this key, starting it if there is none."""
        waiter: Deferred[T] = Deferred()
        waiters = self._waiting.get(key)
        if waiters is not None:
            waiters.append(waiter)
        else:
            self._waiting[key] = [waiter]
            self._start(key, call)
        return await waiter

    def _start(self, key: K, call: Callable[[], Awaitable[T]]) -> None:
        async def running() -> T:
            return await call()

        def finished(result: Any) -> None:
            for waiter in self._waiting.pop(key):
                if not waiter.called:
                    (waiter.errback if isinstance(result, Failure) else waiter.callback)(result)

        _ = Deferred.fromCoroutine(running()).addBoth(finished)
