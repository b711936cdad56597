"""Devices that nobody has used for long: logged out, with their keys and the messages that wait for them, if the
configuration says so.
"""

from itertools import groupby
from typing import Final

import structlog

from homeserver.clock import Clock
from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.services.devices import Devices
from storage.database import Database
from storage.tables.devices import Devices as StoredDevices

log = structlog.get_logger(__name__)

Place = tuple[UserID, DeviceID]

BATCH: Final = 50


class InactiveDevices:
    """Goes through the devices, some at a time. Dehydrated ones, and those of application services, are never seen:
    they stay.
    """

    def __init__(self, database: Database, devices: Devices, after_ms: int, clock: Clock) -> None:
        self._database = database
        self._devices = devices
        self._after_ms = after_ms
        self._clock = clock

    async def remove_some(self, after: Place | None) -> Place | None:
        """Remove some of those behind a place in the order of IDs; gives the place to go on from, None at the end."""
        before = self._clock.now_ms() - self._after_ms
        user_id, device_id = after or (UserID(""), DeviceID(""))
        found = await self._database.read(
            lambda tx: StoredDevices(tx).unseen_since(before, user_id, device_id, BATCH)
        )
        for owner, places in groupby(found, key=lambda place: place[0]):
            gone = [each for _, each in places]
            await self._devices.remove(owner, gone)
            log.info("inactive devices removed", user=owner, devices=gone)
        return found[-1] if len(found) == BATCH else None
