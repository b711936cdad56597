"""Cross-signing: the keys by which users vouch for their devices and for each other, and what they sign.

https://spec.matrix.org/v1.19/client-server-api/#cross-signing
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import (
    BadJson,
    Forbidden,
    InvalidParam,
    InvalidSignature,
    MatrixError,
    MissingParam,
    NotFound,
    UserDeactivated,
)
from homeserver.protocol.events.signing import verify_json
from homeserver.protocol.identifiers import DeviceID, ServerName, UserID, is_user_id, server_of
from homeserver.protocol.signing_keys import VerifyKey
from homeserver.services.device_keys import check_signatures, signed_part, with_signatures
from homeserver.services.device_lists import CROSS_SIGNING, DeviceLists
from homeserver.services.device_writes import DeviceWrite, ListChange, written
from storage.database import Database
from storage.journal import Journal, RunResult
from storage.query import Entry
from storage.tables.device_keys import USER_SIGNATURES, CrossSigningKeys, CrossSigningRow, DeviceKeys
from storage.tables.remote_devices import RemoteDevices
from storage.tables.users import Users
from storage.transaction import Transaction

Json = dict[str, Any]

USAGES: Final = ("master", "self_signing", "user_signing")
MAX_KEY_BYTES: Final = 65_536


class CrossSigning:
    """Cross-signing keys of local users."""

    def __init__(
        self, server_name: ServerName, database: Database, journal: Journal, lists: DeviceLists
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._journal = journal
        self._lists = lists

    async def needs_proof(self, user_id: UserID, keys: Mapping[str, Json]) -> bool:
        """Whether the upload of these keys, by usage, has to be authorised once more: "MUST be performed for
        regular clients, except … there is no existing master signing key [or] the request contains no new
        keys".
        """
        known = await self._known(user_id)
        if "master" not in known:
            return False
        return any(
            usage not in known or known[usage].public_key != public_key(usage, key)
            for usage, key in keys.items()
        )

    async def upload(self, user_id: UserID, keys: Mapping[str, Json]) -> None:
        """Store keys by usage. Raises BadJson, InvalidParam, InvalidSignature, MissingParam, Forbidden."""
        publics = {usage: public_key(usage, key) for usage, key in keys.items()}
        for key in keys.values():
            if key.get("user_id") != user_id:
                raise InvalidParam("A key names another user")

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[None]:
            stored = _locked(tx, user_id)
            known = {row.usage: row for row in stored.of_users([user_id])}
            master = publics.get("master") or (known["master"].public_key if "master" in known else None)
            if master is None:
                raise MissingParam("There is no master key")
            if set(publics.values()) & {row.device_id for row in DeviceKeys(tx).all_devices(user_id)}:
                raise Forbidden("The ID of a key is that of a device")
            for usage, key in keys.items():
                if usage != "master":
                    verify(key, user_id, master)
            changed = [
                usage for usage in keys if _put(stored, user_id, usage, publics[usage], keys[usage], known)
            ]
            if not changed:
                return RunResult(None)
            if changed == ["user_signing"]:
                # Nobody else sees that key: only the user's own clients are told.
                write.lists.append(ListChange(user_id, frozenset(), only_for=user_id))
                return RunResult(None, [USER_SIGNATURES.row(user_id, "", user_id, "", "")])
            return RunResult(None, self._lists.change(tx, write, user_id, [CROSS_SIGNING]))

        await written(self._journal, run)

    async def sign(self, user_id: UserID, signed: Mapping[str, Any]) -> dict[str, dict[str, Json]]:
        """Store signatures over keys, by user and key; gives what failed, in the same shape."""
        failures: dict[str, dict[str, Json]] = {}

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[None]:
            failures.clear()
            signing = _Signing(tx, user_id, self._server_name)
            for owner, objects in signed.items():
                for key_id, obj in objects.items() if isinstance(objects, dict) else ():
                    try:
                        signing.take(owner, key_id, obj)
                    except MatrixError as error:
                        failures.setdefault(owner, {})[key_id] = error.body()
            entries: list[Entry] = list(signing.entries)
            if signing.targets:
                write.lists += [
                    ListChange(target, frozenset(), only_for=user_id) for target in sorted(signing.targets)
                ]
            if signing.own:
                entries += self._lists.change(
                    tx, write, user_id, sorted(signing.own), index=len(signing.entries)
                )
            return RunResult(None, entries)

        await written(self._journal, run)
        return failures

    async def _known(self, user_id: UserID) -> dict[str, CrossSigningRow]:
        rows = await self._database.read(lambda tx: CrossSigningKeys(tx).of_users([user_id]))
        return {row.usage: row for row in rows}


class _Signing:
    """One upload of signatures, in its transaction."""

    def __init__(self, tx: Transaction, user_id: UserID, server_name: ServerName) -> None:
        self.entries: list[Entry] = []
        self.targets: set[UserID] = set()
        self.own: set[DeviceID] = set()
        self._user_id = user_id
        self._server_name = server_name
        self._devices = DeviceKeys(tx)
        self._stored = CrossSigningKeys(tx)
        self._remote = RemoteDevices(tx)
        self._keys = {row.usage: row for row in self._stored.of_users([user_id])}

    def take(self, owner: str, key_id: str, obj: object) -> None:
        """One signed key. Raises what is wrong with it."""
        if not is_user_id(owner) or not isinstance(obj, dict):
            raise BadJson("Not a signed key of a user")
        check_signatures(obj)
        by_key = obj.get("signatures", {}).get(self._user_id)
        if not by_key:
            raise InvalidSignature("There is no signature of yours")
        if owner != self._user_id:
            self._others(UserID(owner), key_id, obj, by_key)
        elif any(row.public_key == key_id for row in self._keys.values()):
            self._own_master(key_id, obj, by_key)
        else:
            self._own_device(DeviceID(key_id), obj)

    def _own_device(self, device_id: DeviceID, obj: Json) -> None:
        text = self._devices.json(self._user_id, device_id)
        if text is None:
            raise NotFound("There is no such device, or it has no keys")
        known = _same(orjson.loads(text), obj)
        if "self_signing" not in self._keys:
            raise NotFound("You have no self-signing key")
        public = self._keys["self_signing"].public_key
        verify(obj, self._user_id, public)
        merged = with_signatures(known, {self._user_id: _only(obj, self._user_id, f"ed25519:{public}")})
        if merged != known:
            self._devices.put(self._user_id, device_id, encode_canonical(merged).decode())
            self.own.add(device_id)

    def _own_master(self, key_id: str, obj: Json, by_key: Mapping[str, str]) -> None:
        row = self._keys.get("master")
        if row is None or row.public_key != key_id:
            raise InvalidParam("Only the master key is signed by devices")
        known = _same(orjson.loads(row.json), obj)
        for signer in by_key:
            text = self._devices.json(self._user_id, DeviceID(signer.partition(":")[2]))
            public = orjson.loads(text).get("keys", {}).get(signer) if text else None
            if not isinstance(public, str):
                raise NotFound("The signature is of a device that you do not have")
            _verify_by(obj, self._user_id, signer, public)
        merged = with_signatures(known, {self._user_id: dict(by_key)})
        if merged != known:
            self._stored.put(self._user_id, "master", key_id, encode_canonical(merged).decode())
            self.own.add(CROSS_SIGNING)

    def _others(self, owner: UserID, key_id: str, obj: Json, by_key: Mapping[str, str]) -> None:
        if "user_signing" not in self._keys:
            raise NotFound("You have no user-signing key")
        known = self._master_of(owner)
        if known is None or f"ed25519:{key_id}" not in known.get("keys", {}):
            raise NotFound("That user has no such master key")
        _same(known, obj)
        public = self._keys["user_signing"].public_key
        verify(obj, self._user_id, public)
        name = f"ed25519:{public}"
        self.entries.append(USER_SIGNATURES.row(self._user_id, name, owner, key_id, by_key[name]))
        self.targets.add(owner)

    def _master_of(self, owner: UserID) -> Json | None:
        if server_of(owner) != self._server_name:
            rows = self._remote.lists([owner])
            text = rows[0].master_key if rows else None
            return orjson.loads(text) if text else None
        found = {row.usage: row for row in self._stored.of_users([owner])}
        return orjson.loads(found["master"].json) if "master" in found else None


def public_key(usage: str, key: Json) -> str:
    """The public key in a cross-signing key. Raises BadJson, InvalidParam for what is none."""
    usages, keys = key.get("usage"), key.get("keys")
    if not isinstance(usages, list) or usage not in usages:
        raise InvalidParam(f"The key is not for {usage}")
    if not isinstance(keys, dict) or len(keys) != 1:
        raise InvalidParam("A cross-signing key has exactly one key")
    ((name, text),) = keys.items()
    if not isinstance(text, str) or name != f"ed25519:{text}":
        raise InvalidParam("A cross-signing key is ed25519, and its ID the key itself")
    check_signatures(key)
    if len(encode_canonical(key)) > MAX_KEY_BYTES:
        raise InvalidParam("The key is too large")
    return text


def verify(obj: Json, user_id: UserID, public: str) -> None:
    """Raises InvalidSignature unless the user's key has signed the object."""
    _verify_by(obj, user_id, f"ed25519:{public}", public)


def _verify_by(obj: Json, user_id: UserID, name: str, public: str) -> None:
    try:
        key = VerifyKey.parse(name, public)
    except InvalidParam as error:
        raise InvalidSignature("The signing key is not ed25519") from error
    verify_json(obj, user_id, {name: key})


def _locked(tx: Transaction, user_id: UserID) -> CrossSigningKeys:
    """Keep others from changing keys of a user meanwhile. Raises UserDeactivated."""
    if not Users(tx).lock_active(user_id):
        raise UserDeactivated
    return CrossSigningKeys(tx)


def _put(
    stored: CrossSigningKeys,
    user_id: UserID,
    usage: str,
    public: str,
    key: Json,
    known: Mapping[str, CrossSigningRow],
) -> bool:
    """Store a key; whether that changed anything. Signatures over the same key stay."""
    before = known.get(usage)
    if before is not None and before.public_key == public:
        old = orjson.loads(before.json)
        key = with_signatures({**key, "signatures": old.get("signatures", {})}, key.get("signatures", {}))
    text = encode_canonical(key).decode()
    if before is not None and before.json == text:
        return False
    stored.put(user_id, usage, public, text)
    return True


def _same(known: Json, obj: Json) -> Json:
    if signed_part(known) != signed_part(obj):
        raise InvalidParam("The key is not the one that the server has")
    return known


def _only(obj: Json, user_id: UserID, name: str) -> dict[str, str]:
    return {name: obj["signatures"][user_id][name]}


def uploaded_keys(body: Mapping[str, Any]) -> dict[str, Json]:
    """The keys in the body of an upload, by usage. Raises BadJson."""
    found: dict[str, Json] = {}
    for usage in USAGES:
        key = body.get(f"{usage}_key")
        if key is None:
            continue
        if not isinstance(key, dict):
            raise BadJson(f"`{usage}_key` must be an object")
        found[usage] = key
    return found
