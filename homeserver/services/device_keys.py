"""Identity keys of local devices: uploading them, and reading them for others.

https://spec.matrix.org/v1.19/client-server-api/#device-keys
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import BadJson, InvalidParam, UnknownDevice
from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.services import one_time_keys
from homeserver.services.device_lists import DeviceLists
from homeserver.services.device_writes import DeviceWrite, written
from storage.database import Database
from storage.journal import Journal, RunResult
from storage.query import Entry
from storage.tables.device_keys import DEVICE_WRITES, CrossSigningKeys, DeviceKeysRow
from storage.tables.device_keys import DeviceKeys as StoredKeys
from storage.transaction import Transaction

MAX_BYTES: Final = 65_536
Json = dict[str, Any]
KeyCounts = dict[str, int]


class DeviceKeys:
    """Keys of local devices."""

    def __init__(self, database: Database, journal: Journal, lists: DeviceLists) -> None:
        self._database = database
        self._journal = journal
        self._lists = lists

    async def upload(
        self, user_id: UserID, device_id: DeviceID, keys: Json | None, one_time: Json, fallback: Json
    ) -> KeyCounts:
        """Store keys of a device; gives how many one-time keys wait now.

        Raises BadJson, InvalidParam, and UnknownDevice for one that was deleted meanwhile.
        """
        if keys is None and not one_time and not fallback:
            found = await self._database.read(lambda tx: one_time_keys.counts(tx, user_id, device_id))
            return found[0]
        if keys is not None:
            check_device_keys(user_id, device_id, keys)

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[KeyCounts]:
            entries = self.store(tx, write, user_id, device_id, keys)
            new = one_time_keys.store(tx, user_id, device_id, one_time)
            if one_time_keys.store_fallback(tx, user_id, device_id, fallback) or new:
                write.counts.append((user_id, device_id))
                entries.append(DEVICE_WRITES.row(True))
            return RunResult(one_time_keys.counts(tx, user_id, device_id)[0], entries)

        return await written(self._journal, run)

    def store(
        self, tx: Transaction, write: DeviceWrite, user_id: UserID, device_id: DeviceID, keys: Json | None
    ) -> list[Entry]:
        """Store identity keys in the caller's transaction. Signatures of the owner over the same keys stay."""
        stored = StoredKeys(tx)
        if stored.lock_device(user_id, device_id) is None:
            raise UnknownDevice("This device was deleted")
        if keys is None:
            return []
        before = stored.json(user_id, device_id)
        merged = keys
        if before is not None:
            known = orjson.loads(before)
            if signed_part(known) == signed_part(keys):
                merged = with_signatures(known, keys.get("signatures", {}))
        text = encode_canonical(
            {name: value for name, value in merged.items() if name != "unsigned"}
        ).decode()
        if text == before:
            return []
        stored.put(user_id, device_id, text)
        return self._lists.change(tx, write, user_id, [device_id])

    async def of(self, wanted: Mapping[UserID, Sequence[DeviceID]]) -> dict[UserID, dict[DeviceID, Json]]:
        """Keys of local devices; no devices named stands for all. Display names are in `unsigned`."""
        users, devices = columns(wanted)
        rows = await self._database.read(lambda tx: StoredKeys(tx).of_devices(users, devices))
        found: dict[UserID, dict[DeviceID, Json]] = {user_id: {} for user_id in wanted}
        for row in rows:
            found[row.user_id][row.device_id] = shown(row.json or "{}", row.display_name)
        return found

    async def all_devices(self, user_id: UserID) -> list[DeviceKeysRow]:
        """Every device of a local user, with keys or without."""
        return await self._database.read(lambda tx: StoredKeys(tx).all_devices(user_id))

    async def cross_signing(
        self, viewer: UserID | None, users: Sequence[UserID]
    ) -> dict[str, dict[UserID, Json]]:
        """Cross-signing keys of local users by usage. The user-signing key, and signatures over others' master
        keys, are for who made them.
        """
        if not users:
            return {}
        rows, signatures = await self._database.read(
            lambda tx: (
                CrossSigningKeys(tx).of_users(list(users)),
                CrossSigningKeys(tx).signatures(viewer, list(users)) if viewer is not None else [],
            )
        )
        found: dict[str, dict[UserID, Json]] = {}
        for row in rows:
            if row.usage != "user_signing" or row.user_id == viewer:
                found.setdefault(row.usage, {})[row.user_id] = orjson.loads(row.json)
        add_signatures(
            found, viewer, [(s.user_id, s.public_key, s.signer_key_id, s.signature) for s in signatures]
        )
        return found

    async def signatures(self, viewer: UserID, users: Sequence[UserID]) -> list[tuple[UserID, str, str, str]]:
        """What a user has signed of others."""
        rows = await self._database.read(lambda tx: CrossSigningKeys(tx).signatures(viewer, list(users)))
        return [(row.user_id, row.public_key, row.signer_key_id, row.signature) for row in rows]


def add_signatures(
    found: dict[str, dict[UserID, Json]],
    viewer: UserID | None,
    signatures: Iterable[tuple[UserID, str, str, str]],
) -> None:
    """Put a user's signatures on the master keys that they are of."""
    masters = found.get("master", {})
    for user_id, public_key, signer_key_id, signature in signatures:
        master = masters.get(user_id)
        if master is not None and viewer is not None and f"ed25519:{public_key}" in master.get("keys", {}):
            masters[user_id] = with_signatures(master, {viewer: {signer_key_id: signature}})


def columns(wanted: Mapping[UserID, Sequence[DeviceID]]) -> tuple[list[UserID], list[str]]:
    """Users and devices side by side; an empty device stands for all."""
    pairs = [(user_id, device_id) for user_id, devices in wanted.items() for device_id in devices or ("",)]
    return [user_id for user_id, _ in pairs], [str(device_id) for _, device_id in pairs]


def shown(text: str, display_name: str | None) -> Json:
    """Keys as others see them."""
    keys: Json = orjson.loads(text)
    keys["unsigned"] = {} if display_name is None else {"device_display_name": display_name}
    return keys


def signed_part(obj: Json) -> bytes:
    """What signatures are over."""
    return encode_canonical({name: obj[name] for name in obj if name not in ("signatures", "unsigned")})


def with_signatures(obj: Json, more: Json) -> Json:
    """The object with further signatures by user and key."""
    merged = {user: dict(by_key) for user, by_key in obj.get("signatures", {}).items()}
    for user, by_key in more.items():
        merged.setdefault(user, {}).update(by_key)
    return {**obj, "signatures": merged}


def check_device_keys(user_id: UserID, device_id: DeviceID, keys: Json) -> None:
    """Raises BadJson, InvalidParam unless the keys can be those of the device."""
    if not {"user_id", "device_id", "algorithms", "keys", "signatures"} <= keys.keys():
        raise BadJson(
            "The keys of a device need `user_id`, `device_id`, `algorithms`, `keys` and `signatures`"
        )
    if keys["user_id"] != user_id or keys["device_id"] != device_id:
        raise InvalidParam("The keys are of another user or device")
    if not isinstance(keys["keys"], dict) or not isinstance(keys["algorithms"], list):
        raise BadJson("`keys` must be an object and `algorithms` a list")
    check_signatures(keys)
    if len(encode_canonical(keys)) > MAX_BYTES:
        raise InvalidParam("The keys are too large")


def check_signatures(obj: Json) -> None:
    """Raises BadJson unless `signatures` are texts by user and key."""
    signatures = obj.get("signatures", {})
    if not isinstance(signatures, dict) or not all(
        isinstance(by_key, dict) and all(isinstance(text, str) for text in by_key.values())
        for by_key in signatures.values()
    ):
        raise BadJson("`signatures` must be texts by user and key")
