"""The outbox of pushes: on one node at a time, the one that holds its lease.

It wakes without input, looks at what the journal has that is new (`services.push.owed`), and has the pushers that are
owed something delivered to. What was owed when another node died is read from the database.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from twisted.internet.defer import CancelledError

from homeserver.background.leased import Alarm, LeasedWork
from homeserver.background.push_courier import PushCourier
from homeserver.clock import Clock
from homeserver.services.push.failures import PushFailures
from homeserver.services.push.owed import PushesOwed
from storage.database import Database
from storage.journal import Journal, Landed
from storage.leases import Lease, Leases
from storage.tables.push_outbox import PushOutbox as StoredOutbox

log = structlog.get_logger(__name__)

LEASE: Final = "pushes"
COLLECT_S: Final = 0.05
"""It waits so long for more to come."""
REST: Final = 2.0
"""Rest after a step, as a multiple of its time, so that who sends messages does not notice it."""
POLL_S: Final = 10.0
"""What other nodes write is noticed so late."""
_RETRY_S: Final = 5.0
_LONGEST_REST_S: Final = 0.5


class PushOutbox:
    """Runs between `start` and `stop`."""

    def __init__(
        self,
        owed: PushesOwed,
        courier: PushCourier,
        failures: PushFailures,
        leases: Leases,
        database: Database,
        clock: Clock,
    ) -> None:
        self._owed = owed
        self._courier = courier
        self._failures = failures
        self._database = database
        self._clock = clock
        self._alarm = Alarm(clock)
        self._leased = LeasedWork(LEASE, leases, self._work)

    def follow(self, journal: Journal) -> None:
        """Wake when something is written."""
        journal.listen(self._landed, self._missed)

    def start(self) -> None:
        """Begin."""
        self._leased.start()

    async def stop(self) -> None:
        """End; what is under way is done again later."""
        await self._leased.stop()
        self._courier.stop()

    async def _work(self, lease: Lease) -> None:
        try:
            await self._hold(lease)
        finally:
            self._owed.end()
            self._courier.stop()

    async def _hold(self, lease: Lease) -> None:
        """Work as long as the lease is ours."""
        begun = False
        while lease.held:
            began = self._clock.seconds()
            try:
                if not begun:
                    await self._begin()
                    begun = True
                found = await self._owed.step()
            except CancelledError:
                raise
            except Exception:
                log.exception("what is to be pushed could not be found out, and is tried again")
                await self._clock.sleep(_RETRY_S)
                continue
            self._courier.add(found.ears, found.urgent)
            if found.more:
                await self._clock.sleep(min(REST * (self._clock.seconds() - began), _LONGEST_REST_S))
            else:
                await self._alarm.sleep(POLL_S)
                await self._clock.sleep(COLLECT_S)

    async def _begin(self) -> None:
        """Go on where another node, or this one before, left off."""
        self._owed.begin()
        await self._failures.load()
        self._courier.add(await self._database.read(lambda tx: StoredOutbox(tx).waiting()))

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        if first <= last:
            self._alarm.ring()

    def _missed(self, upto: int) -> None:
        self._alarm.ring()
