"""Answers that take long are finished even if their client goes away, and kept for a while.

It will come back and ask the same; if the work began anew each time, it might never get through.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.clock import Clock

KEPT_S: Final = 120.0
"""So long an answer that nobody took is kept."""
MAX_BYTES: Final = 64 * 1024 * 1024


class _Work:
    __slots__ = ("result", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Deferred[bytes]] = []
        self.result: bytes | None = None


class KeptWork:
    """Answers under way, and those that nobody took."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._works: dict[Hashable, _Work] = {}
        self._bytes = 0

    async def do(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """The answer of that key: one that is kept, the one under way, or a new one."""
        work = self._works.get(key)
        if work is None:
            work = self._works[key] = _Work()
            waiting = self._wait(work)
            made = Deferred.fromCoroutine(_coroutine(make))
            _ = made.addCallbacks(
                lambda result: self._done(key, work, result), lambda f: self._failed(key, work, f)
            )
            return await waiting
        if work.result is not None:
            self._drop(key, work)
            return work.result
        return await self._wait(work)

    def _wait(self, work: _Work) -> "Deferred[bytes]":
        def gone(deferred: Deferred[bytes]) -> None:
            work.waiting.remove(deferred)

        waiting: Deferred[bytes] = Deferred(gone)
        work.waiting.append(waiting)
        return waiting

    def _done(self, key: Hashable, work: _Work, result: bytes) -> None:
        waiting, work.waiting = work.waiting, []
        if waiting or self._bytes + len(result) > MAX_BYTES:
            del self._works[key]
        else:
            work.result = result
            self._bytes += len(result)
            self._clock.call_later(KEPT_S, self._drop, key, work)
        for deferred in waiting:
            deferred.callback(result)

    def _failed(self, key: Hashable, work: _Work, failure: Failure) -> None:
        del self._works[key]
        waiting, work.waiting = work.waiting, []
        for deferred in waiting:
            deferred.errback(failure)

    def _drop(self, key: Hashable, work: _Work) -> None:
        if self._works.get(key) is work and work.result is not None:
            del self._works[key]
            self._bytes -= len(work.result)


async def _coroutine(make: Callable[[], Awaitable[bytes]]) -> bytes:
    return await make()
