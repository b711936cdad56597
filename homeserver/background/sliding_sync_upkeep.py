"""Forgets connections of sliding sync that nobody uses any more. Every node does it; doing it twice does no harm."""

from typing import Final

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.clock import Clock, Timer
from homeserver.services.sliding_sync.connections import ConnectionStore

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 3600.0


class SlidingSyncUpkeep:
    """Runs between `start` and `stop`."""

    def __init__(self, store: ConnectionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._timer: Timer | None = None

    def start(self) -> None:
        """Do it after each interval."""
        self._timer = self._clock.call_later(INTERVAL_S, self._begin)

    def stop(self) -> None:
        """Do it no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _begin(self) -> None:
        self.start()
        _ = Deferred.fromCoroutine(self._store.expire()).addErrback(_failed)


def _failed(failure: Failure) -> None:
    log.warning("upkeep of sliding sync failed", error=repr(failure.value))
