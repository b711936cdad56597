"""The real world: the reactor's clock, the system's randomness, threads. Only `homeserver/app` touches them."""

import os
import random
import secrets
import string
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from homeserver.clock import Clock, Timer

T = TypeVar("T")

_EVENING_BYTES: Final = 8


class ReactorClock:
    """The clock of a reactor: timers are its own, `wall` and `monotonic` the system's unless a test brings others."""

    def __init__(
        self,
        reactor: IReactorTime,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._call_later: Callable[..., Timer] = reactor.callLater
        self._wall = wall
        self.seconds = monotonic

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return int(self._wall() * 1000)

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: object) -> Timer:
        """Call the function after so many seconds."""
        return self._call_later(max(0.0, seconds), function, *arguments)

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await sleeping(self, seconds)


def sleeping(clock: Clock, seconds: float) -> Deferred[None]:
    """Return a Deferred that fires after so many seconds; to cancel it is to stop the timer."""
    timer: Timer | None = None

    def cancelled(_deferred: Deferred[None]) -> None:
        if timer is not None and timer.active():
            timer.cancel()

    deferred: Deferred[None] = Deferred(cancelled)
    timer = clock.call_later(seconds, deferred.callback, None)
    return deferred


class SystemRandomness:
    """Chance from the operating system: fit for tokens and keys."""

    def __init__(self) -> None:
        self._system = random.SystemRandom()

    def token(self, nbytes: int) -> str:
        """Return `nbytes` of chance as unpadded URL-safe base64."""
        return secrets.token_urlsafe(nbytes)

    def letters(self, count: int) -> str:
        """Return so many letters, upper and lower case."""
        # One call of the system for all; the bytes more than are needed make each letter as likely as the others.
        number = int.from_bytes(os.urandom(count + _EVENING_BYTES))
        letters = []
        for _ in range(count):
            number, letter = divmod(number, len(string.ascii_letters))
            letters.append(string.ascii_letters[letter])
        return "".join(letters)

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return self._system.choice(options)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between the two."""
        return self._system.uniform(low, high)


class ThreadWorkers:
    """Runs functions on a pool of threads: `await workers.run(fn)` from the reactor's thread."""

    def __init__(self, reactor: IReactorFromThreads, name: str, threads: int) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=threads, name=name)
        self._pool.start()

    def run(self, function: Callable[[], T]) -> Deferred[T]:
        """Return a Deferred with what the function returns."""
        return deferToThreadPool(self._reactor, self._pool, function)

    def stop(self) -> None:
        """Let what runs come to its end, and end the threads."""
        self._pool.stop()
