"""Work that follows the journal behind a cursor of its own, on one node at a time: the one that holds its lease.

It is polite: it waits a moment for more to come, and rests after each step as long as the step took several times
over, so that who sends messages does not notice it. It goes on by itself after a failure, and nothing is lost by a
restart.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from twisted.internet.defer import CancelledError

from homeserver.background.leased import Alarm, LeasedWork
from homeserver.clock import Clock
from storage.journal import Journal, Landed
from storage.leases import Lease, Leases

log = structlog.get_logger(__name__)

COLLECT_S: Final = 0.1
REST: Final = 4.0
"""Rest after a step, as a multiple of its time."""
POLL_S: Final = 10.0
"""What other nodes write is noticed so late."""
_RETRY_S: Final = 5.0
_LONGEST_REST_S: Final = 1.0


class Following:
    """Does steps of a work while there is something to do. `start` and `stop` it once."""

    def __init__(
        self, name: str, step: Callable[[], Awaitable[bool]], leases: Leases, journal: Journal, clock: Clock
    ) -> None:
        """``step`` says whether there is more to do."""
        self._name = name
        self._step = step
        self._clock = clock
        self._alarm = Alarm(clock)
        self._leased = LeasedWork(name, leases, self._work)
        journal.listen(self._landed, self._missed)

    def start(self) -> None:
        """Begin."""
        self._leased.start()

    async def stop(self) -> None:
        """End after the step under way."""
        await self._leased.stop()

    async def _work(self, lease: Lease) -> None:
        while lease.held:
            await self._rest(await self._try())

    async def _try(self) -> float:
        """Do a step; how long to rest then."""
        began = self._clock.seconds()
        try:
            more = await self._step()
        except CancelledError:
            raise
        except Exception:
            log.exception("a step failed and will be tried again", work=self._name)
            return _RETRY_S
        took = self._clock.seconds() - began
        return min(REST * took, _LONGEST_REST_S) if more else 0.0

    async def _rest(self, seconds: float) -> None:
        if seconds:
            await self._clock.sleep(seconds)
            return
        await self._alarm.sleep(POLL_S)
        await self._clock.sleep(COLLECT_S)

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        if first <= last:
            self._alarm.ring()

    def _missed(self, upto: int) -> None:
        self._alarm.ring()
