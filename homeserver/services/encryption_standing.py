"""How a user's end-to-end encryption stands: devices and their keys, cross-signing, backup, what waits for whom."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.protocol.identifiers import DeviceID, UserID
from storage.database import Database
from storage.tables.device_keys import CrossSigningKeys
from storage.tables.encryption_standing import DeviceStanding as DeviceStanding
from storage.tables.encryption_standing import EncryptionStanding as Stored
from storage.tables.encryption_standing import OwedServer as OwedServer
from storage.tables.encryption_standing import StaleList as StaleList
from storage.tables.key_backup import Backup, KeyBackups
from storage.transaction import Transaction

MANY: Final = 50
"""More lists and servers than that are not told."""


@dataclass(frozen=True, slots=True)
class Standing:
    """``signing``: the usages of the user's cross-signing keys; ``signed``: the devices that these vouch for;
    ``waiting_since``: when the oldest message to a device came at the latest, where that is known.
    """

    devices: list[DeviceStanding]
    signing: frozenset[str]
    signed: frozenset[DeviceID]
    waiting_since: dict[DeviceID, int]
    backup: Backup | None
    stale: list[StaleList]
    owed: list[OwedServer]


class EncryptionStanding:
    """Reads it from what every node has on record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, user_id: UserID) -> Standing:
        """How things are now."""
        return await self._database.read(lambda tx: _standing(tx, user_id))


def _standing(tx: Transaction, user_id: UserID) -> Standing:
    stored = Stored(tx)
    devices = stored.devices(user_id)
    keys = {row.usage: row.public_key for row in CrossSigningKeys(tx).of_users([user_id])}
    waiting = {
        each.device_id: stored.time_of(each.first_waiting)
        for each in devices
        if each.first_waiting is not None
    }
    sender = f'"sender":{orjson.dumps(user_id).decode()}'
    return Standing(
        devices=devices,
        signing=frozenset(keys),
        signed=frozenset(
            each.device_id for each in devices if _is_signed(each.json, user_id, keys.get("self_signing"))
        ),
        waiting_since={device_id: ts for device_id, ts in waiting.items() if ts is not None},
        backup=KeyBackups(tx).current(user_id),
        stale=stored.stale(user_id, MANY),
        owed=stored.owed(user_id, sender, MANY),
    )


def _is_signed(text: str | None, user_id: UserID, self_signing: str | None) -> bool:
    """Whether the keys bear a signature that was checked when it was uploaded."""
    if text is None or self_signing is None:
        return False
    keys: dict[str, Any] = orjson.loads(text)
    return f"ed25519:{self_signing}" in keys.get("signatures", {}).get(user_id, {})
