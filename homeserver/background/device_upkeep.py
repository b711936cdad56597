"""Removes devices that were not seen for long, on one node at a time: the one that holds the lease."""

from typing import Final

import structlog
from twisted.internet.defer import CancelledError

from homeserver.background.leased import LeasedWork
from homeserver.clock import Clock
from homeserver.services.inactive_devices import InactiveDevices, Place
from storage.leases import Lease, Leases

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 3600.0
"""Also before the first round: after a long outage everybody has an hour to be seen."""
PAUSE_S: Final = 1.0
"""Between batches, so that others get their turn."""


class DeviceUpkeep:
    """Runs between `start` and `stop`."""

    def __init__(self, inactive: InactiveDevices, leases: Leases, clock: Clock) -> None:
        self._inactive = inactive
        self._leases = leases
        self._clock = clock
        self._leased = LeasedWork("inactive devices", leases, self._work)

    def start(self) -> None:
        """Begin."""
        self._leased.start()

    async def stop(self) -> None:
        """Do it no more."""
        if await self._leased.stop():
            await self._leases.stop()

    async def _work(self, lease: Lease) -> None:
        while lease.held:
            await self._clock.sleep(INTERVAL_S)
            await self._round(lease)

    async def _round(self, lease: Lease) -> None:
        place: Place | None = None
        try:
            while lease.held:
                place = await self._inactive.remove_some(place)
                if place is None:
                    return
                await self._clock.sleep(PAUSE_S)
        except CancelledError:
            raise
        except Exception:
            log.exception("inactive devices will be looked at again")
