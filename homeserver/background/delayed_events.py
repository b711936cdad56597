"""Sends delayed events when they are due, on one node at a time: the one that holds the lease."""

from collections.abc import Callable
from typing import Final

import structlog
from twisted.internet.defer import CancelledError, Deferred

from homeserver.background.leased import Alarm, LeasedWork
from homeserver.clock import Clock
from homeserver.services.due_events import DueEvents
from storage.leases import Lease, Leases

log = structlog.get_logger(__name__)

POLL_S: Final = 5.0
"""What another node schedules for sooner is noticed so late."""
_LEAST_S: Final = 0.2
_RETRY_S: Final = 5.0
_HOUR_S: Final = 3600.0


class DelayedEventsWork:
    """Sleeps until the next one is due. `start` and `stop` it once; `wake` it when the next one may be sooner."""

    def __init__(
        self, due: DueEvents, forget_ended: Callable[[], Deferred[int]], leases: Leases, clock: Clock
    ) -> None:
        """``forget_ended`` drops those that ended long ago."""
        self._due = due
        self._forget_ended = forget_ended
        self._leases = leases
        self._clock = clock
        self._alarm = Alarm(clock)
        self._leased = LeasedWork("delayed events", leases, self._work)
        self._cleared_at: float | None = None

    def start(self) -> None:
        """Begin."""
        self._leased.start()

    async def stop(self) -> None:
        """Send no more."""
        if await self._leased.stop():
            await self._due.end()
            await self._leases.stop()

    def wake(self) -> None:
        """Look anew at which one is next."""
        self._alarm.ring()

    async def _work(self, lease: Lease) -> None:
        while lease.held:
            await self._alarm.sleep(await self._step())

    async def _step(self) -> float:
        """Send what is due; for how long there is nothing more to do."""
        try:
            next_ts = await self._due.send_due()
            await self._clear()
        except CancelledError:
            raise
        except Exception:
            log.exception("delayed events will be looked at again")
            return _RETRY_S
        if next_ts is None:
            return POLL_S
        return min(max((next_ts - self._clock.now_ms()) / 1000, _LEAST_S), POLL_S)

    async def _clear(self) -> None:
        now = self._clock.seconds()
        if self._cleared_at is None or now - self._cleared_at >= _HOUR_S:
            self._cleared_at = now
            await self._forget_ended()
