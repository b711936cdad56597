"""One-time and fallback keys: taken in, counted, and given away, each one-time key once and never again.

https://spec.matrix.org/v1.19/client-server-api/#one-time-and-fallback-keys
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import BadJson, InvalidParam
from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.services.device_writes import DeviceWrite, written
from storage.journal import Journal, RunResult
from storage.tables.device_keys import DEVICE_WRITES
from storage.tables.one_time_keys import KeyRow
from storage.tables.one_time_keys import OneTimeKeys as StoredKeys
from storage.transaction import Transaction

Wanted = tuple[UserID, DeviceID, str]
"""A device and the algorithm of the wanted key."""

MAX_KEYS: Final = 1000
"""Keys that a device may have waiting."""
MAX_KEY_BYTES: Final = 4096
ALWAYS_COUNTED: Final = "signed_curve25519"


class OneTimeKeys:
    """Gives keys of local devices away."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def claim(self, wanted: Sequence[Wanted]) -> list[KeyRow]:
        """A key of each of some devices: the oldest one-time key, or else the fallback key, or none."""
        if not wanted:
            return []

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[list[KeyRow]]:
            given = claim(tx, wanted)
            write.counts += [(row.user_id, row.device_id) for row in given]
            return RunResult(given, [DEVICE_WRITES.row(True)] if given else [])

        return await written(self._journal, run)


def claim(tx: Transaction, wanted: Sequence[Wanted]) -> list[KeyRow]:
    """Take keys out, in the caller's transaction."""
    keys = StoredKeys(tx)
    given = keys.claim(*_columns(wanted))
    got = {(row.user_id, row.device_id, row.algorithm) for row in given}
    missing = [each for each in wanted if each not in got]
    return given + keys.fall_back(*_columns(missing)) if missing else given


def store(tx: Transaction, user_id: UserID, device_id: DeviceID, uploaded: Mapping[str, Any]) -> bool:
    """Take in one-time keys; whether any is new. Raises InvalidParam where another key waits under the same ID.

    A key that waits already, or was given away before, is passed over: the client did not hear the answer to
    an earlier upload, or has lost its memory of it.
    """
    parsed = [_parsed(name, key) for name, key in uploaded.items()]
    if not parsed:
        return False
    keys = StoredKeys(tx)
    known = {
        (algorithm, key_id): bytes(digest)
        for algorithm, key_id, digest in keys.known(user_id, device_id, [each[1] for each in parsed])
    }
    used = {bytes(digest) for digest in keys.used(user_id, device_id, [each[3] for each in parsed])}
    new = []
    for each in parsed:
        before = known.get((each[0], each[1]))
        if before is not None and before != each[3]:
            raise InvalidParam(f"One time key {each[0]}:{each[1]} already exists")
        if before is None and each[3] not in used:
            new.append(each)
    if not new:
        return False
    if keys.total(user_id, device_id)[0] + len(new) > MAX_KEYS:
        raise InvalidParam(f"A device has at most {MAX_KEYS} one-time keys")
    algorithms, key_ids, jsons, digests = (list(column) for column in zip(*new, strict=True))
    keys.add(user_id, device_id, algorithms, key_ids, jsons, digests)
    return True


def store_fallback(
    tx: Transaction, user_id: UserID, device_id: DeviceID, uploaded: Mapping[str, Any]
) -> bool:
    """Replace fallback keys, one an algorithm; whether there were any. Raises BadJson."""
    by_algorithm = {each[0]: each for each in (_parsed(name, key) for name, key in uploaded.items())}
    if not by_algorithm:
        return False
    algorithms, key_ids, jsons, _ = (list(column) for column in zip(*by_algorithm.values(), strict=True))
    StoredKeys(tx).put_fallback(user_id, device_id, algorithms, key_ids, jsons)
    return True


def counts(tx: Transaction, user_id: UserID, device_id: DeviceID) -> tuple[dict[str, int], list[str]]:
    """How many one-time keys of each algorithm wait, and which fallback keys were not used yet."""
    keys = StoredKeys(tx)
    found = {ALWAYS_COUNTED: 0, **dict(keys.counts(user_id, device_id))}
    return found, keys.unused_fallbacks(user_id, device_id)


def answer(rows: Sequence[KeyRow]) -> dict[UserID, dict[DeviceID, dict[str, Any]]]:
    """Keys as they are handed out: user to device to key ID to key."""
    found: dict[UserID, dict[DeviceID, dict[str, Any]]] = {}
    for row in rows:
        key = found.setdefault(row.user_id, {}).setdefault(row.device_id, {})
        key[f"{row.algorithm}:{row.key_id}"] = orjson.loads(row.json)
    return found


def is_key(key: object) -> bool:
    """Whether something that another server hands out is a key: a text, or a signed object with one."""
    if isinstance(key, dict):
        return isinstance(key.get("key"), str) and isinstance(key.get("signatures"), dict)
    return isinstance(key, str)


def _parsed(name: str, key: object) -> tuple[str, str, str, bytes]:
    """Algorithm, ID, JSON and digest of a key: the digest is of what its secret half belongs to."""
    algorithm, colon, key_id = name.partition(":")
    if not colon or not algorithm or not key_id or "\0" in name or len(name) > 255:
        raise BadJson(f"{name[:100]!r} is not the ID of a key")
    public = key.get("key") if isinstance(key, dict) else key
    if not isinstance(public, str):
        raise BadJson("A key is a text, or an object with a `key`")
    text = encode_canonical(key).decode()
    if len(text) > MAX_KEY_BYTES or "\\u0000" in text:
        raise BadJson(f"A key has at most {MAX_KEY_BYTES} bytes")
    return algorithm, key_id, text, hashlib.sha256(f"{algorithm}:{public}".encode()).digest()[:16]


def _columns(wanted: Sequence[Wanted]) -> tuple[list[UserID], list[DeviceID], list[str]]:
    return [each[0] for each in wanted], [each[1] for each in wanted], [each[2] for each in wanted]
