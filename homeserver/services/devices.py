"""Devices: listing, naming and removing them, and with them their tokens.

https://spec.matrix.org/v1.19/client-server-api/#device-management
"""

from collections.abc import Awaitable, Callable, Sequence

from homeserver.protocol.errors import InvalidParam, NotFound
from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.device_writes import DeviceWrite
from homeserver.services.last_seen import LastSeen
from homeserver.services.sessions import Sessions
from storage.database import Database
from storage.journal import Changes, Journal, RunResult, Write
from storage.query import Entry
from storage.tables.access_tokens import AccessTokens
from storage.tables.devices import Device as Device
from storage.tables.devices import Devices as StoredDevices
from storage.transaction import Transaction

MAX_DISPLAY_NAME_LENGTH = 256

DevicesRemoved = Callable[[Transaction, DeviceWrite, UserID, Sequence[DeviceID]], Sequence[Entry]]
"""What else goes with devices: called in the transaction that deletes them; returns entries to write."""
DevicesChanged = Callable[[UserID, Sequence[DeviceID]], Awaitable[None]]


class Devices:
    """The devices of local users."""

    def __init__(self, database: Database, journal: Journal, sessions: Sessions, last_seen: LastSeen) -> None:
        self._database = database
        self._journal = journal
        self._sessions = sessions
        self._last_seen = last_seen
        self._removed: list[DevicesRemoved] = []
        self._changed: list[DevicesChanged] = []

    def when_removed(self, removed: DevicesRemoved) -> None:
        """Connect what else goes with a device: pushers, keys, messages to it."""
        self._removed.append(removed)

    def when_changed(self, changed: DevicesChanged) -> None:
        """Call after a device got another name."""
        self._changed.append(changed)

    async def of_user(self, user_id: UserID) -> list[Device]:
        """All devices of a user, the oldest first."""
        devices = await self._database.read(lambda tx: StoredDevices(tx).of_user(user_id))
        return [self._last_seen.updated(user_id, device) for device in devices]

    async def device(self, user_id: UserID, device_id: DeviceID) -> Device:
        """One device. Raises NotFound."""
        found = await self._database.read(lambda tx: StoredDevices(tx).device(user_id, device_id))
        if found is None:
            raise NotFound("No such device")
        return self._last_seen.updated(user_id, found)

    async def rename(self, user_id: UserID, device_id: DeviceID, display_name: str | None) -> None:
        """Give a device another name; None leaves it. Raises NotFound, InvalidParam."""
        if display_name is None:
            await self.device(user_id, device_id)
            return
        name = check_display_name(display_name)
        if not await self._database.transact(lambda tx: StoredDevices(tx).rename(user_id, device_id, name)):
            raise NotFound("No such device")
        for changed in self._changed:
            await changed(user_id, [device_id])

    async def remove(self, user_id: UserID, device_ids: Sequence[DeviceID]) -> None:
        """Remove devices, their tokens and what else goes with them. Unknown ones are none of anybody's
        business.
        """
        wanted = list(device_ids)

        def delete(tx: Transaction, write: DeviceWrite) -> RunResult[list[bytes]]:
            dead = AccessTokens(tx).delete_of_devices(user_id, wanted)
            gone = StoredDevices(tx).delete(user_id, wanted)
            return RunResult(dead, self._with(tx, write, user_id, gone))

        await self._write(user_id, delete)

    async def remove_others(self, user_id: UserID, keep: Requester | None) -> None:
        """Remove all devices and tokens of a user but those that `keep` uses."""
        device_id = None if keep is None else keep.device_id
        token_id = -1 if keep is None or keep.token_id is None else keep.token_id

        def delete(tx: Transaction, write: DeviceWrite) -> RunResult[list[bytes]]:
            dead = AccessTokens(tx).delete_all(user_id, device_id, token_id)
            gone = StoredDevices(tx).delete_all(user_id, device_id)
            return RunResult(dead, self._with(tx, write, user_id, gone))

        await self._write(user_id, delete)

    async def log_out(self, who: Requester) -> None:
        """End the session of an access token, and its device with it."""
        if who.device_id is not None:
            await self.remove(who.user_id, [who.device_id])
        elif who.token_id is not None:
            await self._sessions.end(who.token_id)

    def _with(
        self, tx: Transaction, write: DeviceWrite, user_id: UserID, gone: list[DeviceID]
    ) -> list[Entry]:
        write.begin()
        if not gone:
            return []
        return [entry for removed in self._removed for entry in removed(tx, write, user_id, gone)]

    async def _write(
        self, user_id: UserID, delete: Callable[[Transaction, DeviceWrite], RunResult[list[bytes]]]
    ) -> None:
        what = DeviceWrite()
        write: Write[list[bytes]] = Write(
            run=lambda tx: delete(tx, what), changes=Changes(users=frozenset((user_id,))), payload=what
        )
        done = await self._journal.write(write)
        self._sessions.forget(done.value)


def check_display_name(name: str) -> str:
    """Return a name for a device. Raises InvalidParam."""
    if len(name) > MAX_DISPLAY_NAME_LENGTH or "\0" in name:
        raise InvalidParam(f"Device names have at most {MAX_DISPLAY_NAME_LENGTH} characters")
    return name
