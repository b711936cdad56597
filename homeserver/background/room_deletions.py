"""Deletes rooms, on one node at a time: the one that holds the lease.

It is polite: it rests after each piece as long as that took twice over, so that who talks in other rooms does not
notice it.
"""

from typing import Final

import structlog
from twisted.internet.defer import CancelledError, Deferred

from homeserver.background.leased import Alarm, LeasedWork
from homeserver.clock import Clock
from homeserver.services.rooms.deleted_rooms import DeletedRooms
from homeserver.services.rooms.deletion_steps import DeletionSteps
from storage.leases import Lease, Leases

log = structlog.get_logger(__name__)

POLL_S: Final = 10.0
"""What is asked of other nodes and of commands is noticed so late."""
LOOK_S: Final = 4.0
"""How often each node looks which rooms it is to forget: a deletion waits for longer."""
_WAIT_S: Final = 1.0
_REST: Final = 2.0
_LONGEST_REST_S: Final = 1.0
_RETRY_S: Final = 5.0
_HOUR_S: Final = 3600.0


class RoomDeletionsWork:
    """Sleeps until there is something to delete. `start` and `stop` it once; `wake` it when there is."""

    def __init__(self, steps: DeletionSteps, memory: DeletedRooms, leases: Leases, clock: Clock) -> None:
        self._steps = steps
        self._memory = memory
        self._looking: Deferred[None] | None = None
        self._leases = leases
        self._clock = clock
        self._alarm = Alarm(clock)
        self._leased = LeasedWork("room deletions", leases, self._work)
        self._cleared_at: float | None = None

    def start(self) -> None:
        """Begin."""
        self._leased.start()
        self._looking = Deferred.fromCoroutine(self._look())

    async def stop(self) -> None:
        """Delete no more for now."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await looking
        if await self._leased.stop():
            await self._leases.stop()

    def wake(self) -> None:
        """There is something to delete."""
        self._alarm.ring()

    async def _look(self) -> None:
        try:
            while True:
                await self._clock.sleep(LOOK_S)
                await self._look_once()
        except CancelledError:
            return

    async def _look_once(self) -> None:
        try:
            await self._memory.look()
        except CancelledError:
            raise
        except Exception:
            log.exception("which rooms are to be forgotten will be looked at again")

    async def _work(self, lease: Lease) -> None:
        while lease.held:
            await self._alarm.sleep(await self._step())

    async def _step(self) -> float:
        """Do a piece; how long to rest then."""
        began = self._clock.seconds()
        try:
            busy = await self._steps.do_some()
            if began - (self._cleared_at or 0.0) >= _HOUR_S or self._cleared_at is None:
                self._cleared_at = began
                await self._steps.forget_old()
        except CancelledError:
            raise
        except Exception:
            log.exception("deletions of rooms will be looked at again")
            return _RETRY_S
        if busy is None:
            return POLL_S
        if not busy:
            return _WAIT_S
        return min(_REST * (self._clock.seconds() - began), _LONGEST_REST_S)
