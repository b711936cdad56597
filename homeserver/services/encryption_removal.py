"""What encryption leaves behind when an account is closed, beside its devices: cross-signing keys, what they signed,
and backups of room keys. Nobody can come back to them, and others must not go on trusting them.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
"""

from homeserver.protocol.identifiers import UserID
from homeserver.services.device_lists import CROSS_SIGNING, DeviceLists
from homeserver.services.device_writes import DeviceWrite, written
from storage.database import Database
from storage.journal import Journal, RunResult
from storage.tables.device_keys import CrossSigningKeys
from storage.tables.key_backup import KeyBackups
from storage.transaction import Transaction


class EncryptionRemoval:
    """Removes it; the account takes nothing new of the kind once it is closed."""

    def __init__(self, database: Database, journal: Journal, lists: DeviceLists) -> None:
        self._database = database
        self._journal = journal
        self._lists = lists

    async def remove(self, user_id: UserID) -> None:
        """Remove all that there is of a closed account, and let those who share rooms with it know."""

        def signing(tx: Transaction, write: DeviceWrite) -> RunResult[None]:
            if not CrossSigningKeys(tx).delete(user_id):
                return RunResult(None)
            return RunResult(None, self._lists.change(tx, write, user_id, [CROSS_SIGNING]))

        def backups(tx: Transaction) -> None:
            if KeyBackups(tx).lock_all(user_id):
                KeyBackups(tx).delete_all(user_id)

        await written(self._journal, signing)
        await self._database.transact(backups)
