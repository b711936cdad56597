"""Work that one node does at a time: whoever holds its lease; and how it sleeps until there is something to do."""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred

from homeserver.clock import Clock, Timer
from storage.leases import Lease, Leases


class LeasedWork:
    """Has a work done whenever this node holds the lease. `start` and `stop` it once."""

    def __init__(self, name: str, leases: Leases, work: Callable[[Lease], Awaitable[None]]) -> None:
        """``work`` goes on while the lease is held, and is cancelled at the end."""
        self._name = name
        self._leases = leases
        self._work = work
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> bool:
        """End what is under way; whether anything was."""
        running, self._running = self._running, None
        if running is None:
            return False
        running.cancel()
        await running
        return True

    async def _run(self) -> None:
        try:
            while True:
                await self._work(await self._leases.hold(self._name))
        except CancelledError:
            return


class Alarm:
    """Sleeps until it is rung, or the time is over. Rung while nobody sleeps, it ends the next sleep at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sleeping: Deferred[None] | None = None
        self._rung = False

    def ring(self) -> None:
        """There is something to do."""
        self._rung = True
        sleeping, self._sleeping = self._sleeping, None
        if sleeping is not None:
            sleeping.callback(None)

    async def sleep(self, seconds: float) -> None:
        """Sleep for so long at most."""
        if not self._rung:
            self._sleeping = sleeping = Deferred[None]()
            timer: Timer = self._clock.call_later(seconds, self.ring)
            try:
                await sleeping
            finally:
                self._sleeping = None
                if timer.active():
                    timer.cancel()
        self._rung = False
