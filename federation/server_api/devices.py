"""Devices and keys of this server's users, for other servers.

https://spec.matrix.org/v1.19/server-server-api/#end-to-end-encryption
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from federation.wire.devices import (
    CLAIM_KEYS,
    QUERY_KEYS,
    USER_DEVICES,
    ClaimedKeys,
    KeysClaim,
    KeysQuery,
    UserDevices,
    UserKeys,
)
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import DeviceID, ServerName, UserID, is_user_id, server_of
from homeserver.services import one_time_keys
from homeserver.services.device_keys import DeviceKeys
from homeserver.services.device_list_exchange import DeviceListExchange
from homeserver.services.one_time_keys import OneTimeKeys

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class FederationDevicesApi:
    """What other servers may know of devices here."""

    server_name: ServerName
    device_keys: DeviceKeys
    one_time: OneTimeKeys
    exchange: DeviceListExchange

    @endpoint(
        USER_DEVICES.method,
        USER_DEVICES.path,
        auth=server_signature,
        spec=f"{_SPEC}get_matrixfederationv1userdevicesuserid",
    )
    async def user_devices(self, origin: Origin, user_id: Path[UserID]) -> UserDevices:
        """All devices of a user that have keys: the others cannot be encrypted for, and an entry needs some."""
        if server_of(user_id) != self.server_name:
            raise NotFound("The user is not one of this server")
        stream_id, rows, signing = await self.exchange.devices(user_id)
        devices = [
            {"device_id": row.device_id, "keys": orjson.loads(row.json)}
            | ({"device_display_name": row.display_name} if row.display_name else {})
            for row in rows
            if row.json is not None
        ]
        return UserDevices(user_id, stream_id, devices, signing.get("master"), signing.get("self_signing"))

    @endpoint(
        QUERY_KEYS.method,
        QUERY_KEYS.path,
        auth=server_signature,
        spec=f"{_SPEC}post_matrixfederationv1userkeysquery",
    )
    async def query(self, origin: Origin, body: Body[KeysQuery]) -> UserKeys:
        """Keys of devices, and cross-signing keys."""
        wanted = {
            UserID(user_id): [DeviceID(device_id) for device_id in devices if "\0" not in device_id]
            for user_id, devices in body.device_keys.items()
            if self._is_ours(user_id)
        }
        found = await self.device_keys.of(wanted) if wanted else {}
        signing = await self.device_keys.cross_signing(None, list(wanted))
        shown: dict[str, Any] = {str(user_id): by_device for user_id, by_device in found.items()}
        return UserKeys(
            shown,
            {str(user_id): key for user_id, key in signing.get("master", {}).items()},
            {str(user_id): key for user_id, key in signing.get("self_signing", {}).items()},
        )

    @endpoint(
        CLAIM_KEYS.method,
        CLAIM_KEYS.path,
        auth=server_signature,
        spec=f"{_SPEC}post_matrixfederationv1userkeysclaim",
    )
    async def claim(self, origin: Origin, body: Body[KeysClaim]) -> ClaimedKeys:
        """Give one-time keys away."""
        wanted = [
            (UserID(user_id), DeviceID(device_id), algorithm)
            for user_id, by_device in body.one_time_keys.items()
            if self._is_ours(user_id)
            for device_id, algorithm in by_device.items()
            if "\0" not in device_id + algorithm
        ]
        found: dict[str, Any] = {
            str(user_id): by_device
            for user_id, by_device in one_time_keys.answer(await self.one_time.claim(wanted)).items()
        }
        return ClaimedKeys(found)

    def _is_ours(self, user_id: str) -> bool:
        return is_user_id(user_id) and server_of(user_id) == self.server_name
