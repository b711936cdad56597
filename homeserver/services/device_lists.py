"""Whose devices changed: written down for those who share a room with them, here and on other servers.

https://spec.matrix.org/v1.19/client-server-api/#tracking-the-device-list-for-a-user,
https://spec.matrix.org/v1.19/server-server-api/#device-management
"""

from collections.abc import Sequence

from homeserver.protocol.identifiers import DeviceID, ServerName, UserID, server_of
from homeserver.services.device_writes import DeviceWrite, ListChange, written
from storage.database import Database
from storage.journal import Journal, RunResult
from storage.query import Entry
from storage.tables.dehydrated_devices import DehydratedDevices
from storage.tables.device_keys import DeviceKeys
from storage.tables.device_lists import DEVICE_LIST_OUTBOX, DEVICE_LISTS
from storage.tables.device_lists import DeviceLists as StoredLists
from storage.tables.one_time_keys import OneTimeKeys
from storage.tables.to_device import ToDevice
from storage.transaction import Transaction

CROSS_SIGNING = DeviceID("")
"""In the place of a device: the cross-signing keys of the user."""


class DeviceLists:
    """Changes of device lists, and who has to hear of them."""

    def __init__(self, server_name: ServerName, database: Database, journal: Journal) -> None:
        self._server_name = server_name
        self._database = database
        self._journal = journal

    def change(
        self,
        tx: Transaction,
        write: DeviceWrite,
        user_id: UserID,
        device_ids: Sequence[DeviceID],
        *,
        index: int = 0,
    ) -> list[Entry]:
        """Entries of a transaction that changes devices of a user. ``index``: how many positioned entries go
        before them in the write.
        """
        lists = StoredLists(tx)
        write.lists.append(ListChange(user_id, frozenset(lists.rooms(user_id))))
        # A position each: other servers take what has one that they know for something they had.
        entries = [DEVICE_LISTS.row(user_id) for _ in device_ids or (CROSS_SIGNING,)]
        if server_of(user_id) == self._server_name:
            servers = lists.servers(user_id, self._server_name)
            write.destinations.update(servers)
            entries += [
                DEVICE_LIST_OUTBOX.row(server, user_id, device_id, index + at)
                for server in servers
                for at, device_id in enumerate(device_ids)
            ]
        return entries

    async def changed(self, user_id: UserID, device_ids: Sequence[DeviceID]) -> None:
        """Tell that devices of a user changed, in a write of its own."""

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[None]:
            return RunResult(None, self.change(tx, write, user_id, device_ids))

        await written(self._journal, run)

    def removed(
        self, tx: Transaction, write: DeviceWrite, user_id: UserID, device_ids: Sequence[DeviceID]
    ) -> list[Entry]:
        """Delete what goes with devices that are deleted: keys, messages to them."""
        gone = list(device_ids)
        DeviceKeys(tx).delete(user_id, gone)
        OneTimeKeys(tx).delete(user_id, gone)
        ToDevice(tx).delete(user_id, gone)
        DehydratedDevices(tx).delete(user_id, gone)
        for device_id in gone:
            write.counts.append((user_id, device_id))
            write.messages.append((user_id, device_id))
        return self.change(tx, write, user_id, gone)

    async def tell(self, destinations: Sequence[ServerName], user_id: UserID) -> None:
        """Tell servers of all devices of a local user, and of the cross-signing keys."""

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[None]:
            devices = [*StoredLists(tx).devices(user_id), CROSS_SIGNING]
            write.destinations.update(destinations)
            rows = [
                DEVICE_LIST_OUTBOX.row(server, user_id, device_id, at)
                for server in destinations
                for at, device_id in enumerate(devices)
            ]
            return RunResult(None, [*(DEVICE_LISTS.row(user_id) for _ in devices), *rows])

        await written(self._journal, run)
