"""After the database was restored from a backup: others know of things that this server has forgotten.

* A one-time key in the backup may have been given away since: two people would encrypt with one key, and one of them
  could not be decrypted. So all are forgotten, and clients upload new ones.
* Other servers were told of changes of devices under numbers that this server would use again, and would pass them
  over as known. So numbers go on beyond what can have been used, and everybody is told of all devices anew.
* What other servers told since about their users' devices is lost: those lists are stale, and fetched anew.
* Clients have tokens with positions that would be given out again for other things, which they would never hear of. So
  positions go on beyond those, too, and who comes with one of them begins anew.
"""

from typing import Final

from homeserver.clock import Clock
from homeserver.protocol.identifiers import ServerName, UserID
from homeserver.services.device_lists import DeviceLists
from homeserver.services.device_writes import DeviceWrite, written
from storage.database import Database
from storage.journal import Journal, RunResult
from storage.tables.device_keys import DEVICE_WRITES
from storage.tables.device_lists import DeviceLists as StoredLists
from storage.tables.one_time_keys import OneTimeKeys
from storage.tables.remote_devices import RemoteDevices
from storage.tables.restorations import Restorations
from storage.transaction import Transaction

AT_A_TIME: Final = 500
STEP: Final = 10**12
"""No server has told of so many changes; and thousands of such steps fit into an integer of JSON."""
POSITIONS: Final = 10**8
"""No server has written so much since its last backup; and what walks along the positions is soon beyond them."""


class Restoration:
    """What a server does once before its first start on a restored database. Done again, it does no harm."""

    def __init__(
        self, server_name: ServerName, database: Database, journal: Journal, lists: DeviceLists, clock: Clock
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._journal = journal
        self._lists = lists
        self._clock = clock

    async def restored(self) -> int:
        """Do all of it; gives how many users' devices other servers will be told of."""

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[None]:
            OneTimeKeys(tx).forget_all()
            RemoteDevices(tx).mark_all_stale(self._clock.now_ms())
            StoredLists(tx).forget_all_sent()
            StoredLists(tx).step_stream(STEP)
            _step_positions(tx)
            return RunResult(None, [DEVICE_WRITES.row(True)])  # running nodes forget what they counted

        await written(self._journal, run)
        told, after = 0, UserID("")
        while users := await self._some(after):
            for user_id in users:
                told += await self._tell(user_id)
            after = users[-1]
        return told

    async def _some(self, after: UserID) -> list[UserID]:
        return await self._database.read(lambda tx: StoredLists(tx).owners(after, AT_A_TIME))

    async def _tell(self, user_id: UserID) -> int:
        servers = await self._database.read(lambda tx: StoredLists(tx).servers(user_id, self._server_name))
        if servers:
            await self._lists.tell(servers, user_id)
        return 1 if servers else 0


def _step_positions(tx: Transaction) -> None:
    restorations = Restorations(tx)
    now = restorations.step_positions(POSITIONS)
    was = now - POSITIONS
    restorations.note(was, now)
    restorations.step_user_directory(was, now)
    restorations.step_media_uses(was, now)
