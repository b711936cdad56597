"""Asking for keys of others: those here from the database, those elsewhere from what is kept or from their server.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import orjson
from twisted.internet.defer import Deferred, gatherResults

from federation.client.errors import RemoteError, Unreachable
from federation.client.federation_client import FederationClient
from federation.wire.devices import CLAIM_KEYS, QUERY_KEYS, KeysClaim, KeysQuery
from homeserver.clock import Clock
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import DeviceID, ServerName, UserID, server_of
from homeserver.services import one_time_keys
from homeserver.services.device_keys import DeviceKeys, add_signatures, columns, shown
from homeserver.services.one_time_keys import OneTimeKeys
from homeserver.services.remote_device_lists import RemoteDeviceLists
from homeserver.services.told_devices import are_keys, signing_key_of
from storage.tables.remote_devices import RemoteList

T = TypeVar("T")

Json = dict[str, Any]
Devices = Mapping[UserID, Sequence[DeviceID]]
"""No devices of a user: all of them."""

LISTS_AT_ONCE: Final = 20
"""Lists that are fetched one by one from a server while a client waits; more are asked for in one question."""
LOOK_AGAIN_S: Final = 0.5
_AWAY: Final = (502, 503, 504)
FAILED: Final = {"status": 503, "message": "The server could not be reached or refused"}


@dataclass(slots=True)
class Keys:
    """Keys by user: of devices, and cross-signing keys by usage; servers that did not answer."""

    devices: dict[UserID, dict[DeviceID, Json]] = field(default_factory=dict)
    signing: dict[str, dict[UserID, Json]] = field(default_factory=dict)
    failures: dict[ServerName, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The way to other servers' users."""

    client: FederationClient
    lists: RemoteDeviceLists
    clock: Clock

    async def persistently(self, timeout_s: float, ask: Callable[[float, bool], Coroutine[Any, Any, T]]) -> T:
        """Ask a server, and again if it is away for a moment, until the time is over: who encrypts without the keys
        of a device leaves it out for good. While somebody waits, the server is asked more often than its health record
        says; one that has been away for longer is not waited for. Raises MatrixError.

        ``ask`` is given the seconds that are left, and whether to ask in spite of the pause.
        """
        deadline = self.clock.seconds() + timeout_s
        insist = False
        late: MatrixError
        while True:
            try:
                return await ask(deadline - self.clock.seconds(), insist)
            except Unreachable as error:
                if not insist and self._is_long_away(error, deadline):
                    raise
                late = error
            except RemoteError as error:
                if error.status not in _AWAY:
                    raise
                late = error
            insist = True
            if self.clock.seconds() + LOOK_AGAIN_S >= deadline:
                raise late
            await self.clock.sleep(LOOK_AGAIN_S)

    def _is_long_away(self, error: Unreachable, deadline: float) -> bool:
        if error.retry_at_ms is None:
            return True
        return self.clock.seconds() + (error.retry_at_ms - self.clock.now_ms()) / 1000 >= deadline


class KeyExchange:
    """Answers questions for keys. Without ``elsewhere`` there are only this server's users."""

    def __init__(
        self,
        server_name: ServerName,
        device_keys: DeviceKeys,
        one_time: OneTimeKeys,
        elsewhere: Elsewhere | None,
    ) -> None:
        self._server_name = server_name
        self._device_keys = device_keys
        self._one_time = one_time
        self._elsewhere = elsewhere

    async def query(self, viewer: UserID | None, wanted: Devices, timeout_s: float) -> Keys:
        """The keys of devices, as a local user may see them; None: as everybody may."""
        here, away = self._divided(wanted)
        keys = Keys()
        if here:
            keys.devices = await self._device_keys.of(here)
            keys.signing = await self._device_keys.cross_signing(viewer, list(here))
        if away:
            await self._query_away(keys, away, timeout_s)
            if viewer is not None and keys.signing.get("master"):
                users = [user for server in away.values() for user in server]
                add_signatures(keys.signing, viewer, await self._device_keys.signatures(viewer, users))
        return keys

    async def claim(
        self, wanted: Mapping[UserID, Mapping[DeviceID, str]], timeout_s: float
    ) -> tuple[dict[UserID, dict[DeviceID, Json]], dict[ServerName, Json]]:
        """One-time keys of devices by the wanted algorithm, and the servers that did not answer."""
        local = []
        away: dict[ServerName, dict[str, dict[str, str]]] = {}
        for user_id, by_device in wanted.items():
            server = server_of(user_id)
            if server == self._server_name:
                local += [(user_id, device_id, algorithm) for device_id, algorithm in by_device.items()]
            else:
                away.setdefault(server, {})[user_id] = {str(key): text for key, text in by_device.items()}
        found: dict[UserID, dict[DeviceID, Json]] = one_time_keys.answer(await self._one_time.claim(local))
        failures: dict[ServerName, Json] = {}
        await _all(
            self._claim_away(server, devices, timeout_s, found, failures) for server, devices in away.items()
        )
        return found, failures

    def _divided(self, wanted: Devices) -> tuple[Devices, dict[ServerName, Devices]]:
        here: dict[UserID, Sequence[DeviceID]] = {}
        away: dict[ServerName, dict[UserID, Sequence[DeviceID]]] = {}
        for user_id, devices in wanted.items():
            server = server_of(user_id)
            if server == self._server_name:
                here[user_id] = devices
            else:
                away.setdefault(server, {})[user_id] = devices
        return here, dict(away)

    async def _query_away(self, keys: Keys, away: Mapping[ServerName, Devices], timeout_s: float) -> None:
        if self._elsewhere is None:
            keys.failures |= dict.fromkeys(away, FAILED)
            return
        lists = self._elsewhere.lists
        users = [user_id for devices in away.values() for user_id in devices]
        known, shared = await lists.known(users)
        work = []
        for server, devices in away.items():
            unknown = [
                user_id
                for user_id in devices
                if user_id not in known or user_id not in shared or known[user_id].stale_since is not None
            ]
            to_fetch = [user_id for user_id in unknown if user_id in shared]
            if unknown and len(to_fetch) <= LISTS_AT_ONCE:
                work += [self._fetch(server, user_id, keys, timeout_s) for user_id in to_fetch]
                unknown = [user_id for user_id in unknown if user_id not in shared]
            if unknown:
                wanted = {user_id: devices[user_id] for user_id in unknown}
                work.append(self._ask(server, wanted, keys, timeout_s))
        await _all(work)
        answered = {user_id for by_usage in (keys.devices,) for user_id in by_usage}
        rest = {
            user_id: devices[user_id]
            for devices in away.values()
            for user_id in devices
            if user_id not in answered and user_id in shared
        }
        if rest:
            await self._add_kept(keys, rest)

    async def _fetch(self, server: ServerName, user_id: UserID, keys: Keys, timeout_s: float) -> None:
        """Fetch a user's list. What is kept of it is told if that fails."""
        if self._elsewhere is None or server in keys.failures:
            return
        lists = self._elsewhere.lists
        try:
            await self._elsewhere.persistently(
                timeout_s, lambda left, insist: lists.fetch(user_id, left, insist)
            )
        except MatrixError:
            keys.failures[server] = FAILED

    async def _ask(self, server: ServerName, devices: Devices, keys: Keys, timeout_s: float) -> None:
        if self._elsewhere is None:
            return
        client = self._elsewhere.client
        body = KeysQuery({user_id: [str(each) for each in wanted] for user_id, wanted in devices.items()})
        try:
            answer = await self._elsewhere.persistently(
                timeout_s,
                lambda left, insist: client.request(
                    QUERY_KEYS, server, body=body, timeout_s=left, despite_pause=insist
                ),
            )
        except MatrixError:
            keys.failures[server] = FAILED
            return
        for user_id, by_device in answer.device_keys.items():
            if user_id in devices:
                keys.devices[UserID(user_id)] = {
                    DeviceID(device_id): each
                    for device_id, each in by_device.items()
                    if are_keys(UserID(user_id), DeviceID(device_id), each)
                }
        for usage, found in (("master", answer.master_keys), ("self_signing", answer.self_signing_keys)):
            for user_id, key in found.items():
                if user_id in devices and signing_key_of(usage, UserID(user_id), key) is not None:
                    keys.signing.setdefault(usage, {})[UserID(user_id)] = key

    async def _add_kept(self, keys: Keys, wanted: Devices) -> None:
        """What is kept of other servers' users, be it stale: better than nothing where their server is away."""
        if self._elsewhere is None:
            return
        lists = self._elsewhere.lists
        known, _ = await lists.known(list(wanted))
        for device in await lists.devices(*columns({user: wanted[user] for user in known})):
            if device.json is not None:
                by_device = keys.devices.setdefault(device.user_id, {})
                by_device[device.device_id] = shown(device.json, device.display_name)
        for row in known.values():
            keys.devices.setdefault(row.user_id, {})
            _add_signing(keys, row)

    async def _claim_away(
        self,
        server: ServerName,
        devices: dict[str, dict[str, str]],
        timeout_s: float,
        found: dict[UserID, dict[DeviceID, Json]],
        failures: dict[ServerName, Json],
    ) -> None:
        if self._elsewhere is None:
            failures[server] = FAILED
            return
        client, body = self._elsewhere.client, KeysClaim(devices)
        try:
            answer = await self._elsewhere.persistently(
                timeout_s,
                lambda left, insist: client.request(
                    CLAIM_KEYS, server, body=body, timeout_s=left, despite_pause=insist
                ),
            )
        except MatrixError:
            failures[server] = FAILED
            return
        for user_id, by_device in answer.one_time_keys.items():
            for device_id, keys in by_device.items() if user_id in devices else ():
                if device_id in devices[user_id] and isinstance(keys, dict):
                    good = {name: key for name, key in keys.items() if one_time_keys.is_key(key)}
                    found.setdefault(UserID(user_id), {})[DeviceID(device_id)] = good


def _add_signing(keys: Keys, row: RemoteList) -> None:
    for usage, text in (("master", row.master_key), ("self_signing", row.self_signing_key)):
        if text is not None:
            keys.signing.setdefault(usage, {})[row.user_id] = orjson.loads(text)


async def _all(work: Any) -> None:
    await gatherResults([Deferred.fromCoroutine(each) for each in work])
