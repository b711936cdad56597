"""What has to be done about accounts from time to time: forget what expired, and finish what a restart interrupted.

Every node does it; doing it twice does no harm.
"""

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.clock import Clock, Timer
from homeserver.services.accounts import Accounts
from homeserver.services.last_seen import LastSeen
from homeserver.services.ui_auth import UiAuth

log = structlog.get_logger(__name__)

INTERVAL_S = 600


class AccountUpkeep:
    """Runs between `start` and `stop`."""

    def __init__(self, accounts: Accounts, ui_auth: UiAuth, last_seen: LastSeen, clock: Clock) -> None:
        self._accounts = accounts
        self._ui_auth = ui_auth
        self._last_seen = last_seen
        self._clock = clock
        self._timer: Timer | None = None
        self._running = False

    def start(self) -> None:
        """Do it now, and again after each interval."""
        self._running = True
        self._begin()

    async def stop(self) -> None:
        """Do it no more; write what is only in memory."""
        self._running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        await self._last_seen.flush()

    def _begin(self) -> None:
        self._timer = None
        _ = Deferred.fromCoroutine(self._round()).addErrback(_failed).addBoth(self._rest)

    def _rest(self, _result: object) -> None:
        if self._running:
            self._timer = self._clock.call_later(INTERVAL_S, self._begin)

    async def _round(self) -> None:
        await self._ui_auth.expire()
        await self._accounts.resume_departures()


def _failed(failure: Failure) -> None:
    log.warning("upkeep of accounts failed", error=repr(failure.value))
