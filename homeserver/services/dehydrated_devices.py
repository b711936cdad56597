"""Dehydrated devices: they take messages while no client of their user is there, and are taken over by a new one.

https://github.com/matrix-org/matrix-spec-proposals/pull/3814
"""

from typing import Any, Final

import orjson

from homeserver.clock import Clock
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.device_messages import delivered_together
from homeserver.protocol.errors import Forbidden, InvalidParam, NotFound, UserDeactivated
from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.services import one_time_keys
from homeserver.services.device_keys import DeviceKeys, check_device_keys
from homeserver.services.device_writes import DeviceWrite, written
from homeserver.services.devices import Devices, check_display_name
from storage.database import Database
from storage.journal import Journal, RunResult
from storage.tables.dehydrated_devices import DehydratedDevices as StoredDehydrated
from storage.tables.device_keys import DEVICE_WRITES
from storage.tables.devices import Devices as StoredDevices
from storage.tables.to_device import ToDevice
from storage.tables.users import Users
from storage.transaction import Transaction

Json = dict[str, Any]

MAX_EVENTS: Final = 100


class DehydratedDevices:
    """At most one a user."""

    def __init__(
        self, database: Database, journal: Journal, devices: Devices, device_keys: DeviceKeys, clock: Clock
    ) -> None:
        self._database = database
        self._journal = journal
        self._devices = devices
        self._device_keys = device_keys
        self._clock = clock

    async def put(
        self,
        user_id: UserID,
        device_id: DeviceID,
        data: Json,
        display_name: str | None,
        keys: Json,
        one_time: Json,
        fallback: Json,
    ) -> None:
        """Put a device in the place of the one before. Raises BadJson, InvalidParam, Forbidden, UserDeactivated."""
        check_device_keys(user_id, device_id, keys)
        name = None if display_name is None else check_display_name(display_name)
        before = await self._find(user_id)
        if before is not None:
            await self._devices.remove(user_id, [before[0]])

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[None]:
            if not Users(tx).lock_active(user_id):
                raise UserDeactivated
            if StoredDevices(tx).device(user_id, device_id) is not None:
                raise Forbidden("There is such a device already")
            StoredDevices(tx).enter(user_id, device_id, name, self._clock.now_ms(), None, None)
            StoredDehydrated(tx).put(user_id, device_id, encode_canonical(data).decode())
            entries = self._device_keys.store(tx, write, user_id, device_id, keys)
            one_time_keys.store(tx, user_id, device_id, one_time)
            one_time_keys.store_fallback(tx, user_id, device_id, fallback)
            write.counts.append((user_id, device_id))
            return RunResult(None, [*entries, DEVICE_WRITES.row(True)])

        await written(self._journal, run)

    async def device(self, user_id: UserID) -> tuple[DeviceID, Json]:
        """The device and what its owner put in. Raises NotFound."""
        found = await self._find(user_id)
        if found is None:
            raise NotFound("There is no dehydrated device")
        return found[0], orjson.loads(found[1])

    async def delete(self, user_id: UserID) -> DeviceID:
        """Delete it. Raises NotFound."""
        device_id, _ = await self.device(user_id)
        await self._devices.remove(user_id, [device_id])
        return device_id

    async def events(
        self, user_id: UserID, device_id: DeviceID, token: str | None
    ) -> tuple[list[bytes], str]:
        """Messages to the device, the oldest first, and the token from which the next ones are found; they stay
        until the device is deleted. Raises NotFound, Forbidden, InvalidParam.
        """
        found = await self._find(user_id)
        if found is None or found[0] != device_id:
            raise Forbidden("Not your dehydrated device")
        if token is not None and not (token.isascii() and token.isdigit() and len(token) < 19):
            raise InvalidParam("Not a token")
        since = int(token or 0)
        messages = await self._database.read(
            lambda tx: ToDevice(tx).waiting(user_id, device_id, since, 2**62, MAX_EVENTS)
        )
        messages = messages[: delivered_together([text for _, text in messages])]
        upto = messages[-1][0] if messages else since
        return [text.encode() for _, text in messages], str(upto)

    async def _find(self, user_id: UserID) -> tuple[DeviceID, str] | None:
        return await self._database.read(lambda tx: StoredDehydrated(tx).find(user_id))
