"""Devices of a user.

https://spec.matrix.org/v1.19/client-server-api/#device-management
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.http.authentication import access_token, access_token_or_guest
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.http.request import Request
from homeserver.protocol.errors import BadJson
from homeserver.protocol.identifiers import DeviceID
from homeserver.protocol.requester import Requester
from homeserver.services.devices import Device, Devices
from homeserver.services.ui_auth import UiAuth, operation_of
from homeserver.services.ui_auth_stages import PASSWORD


class DeviceUpdate(msgspec.Struct, frozen=True):
    """The body of an update."""

    display_name: str | None = None


class DevicesToDelete(msgspec.Struct, frozen=True):
    """The body of a deletion of several devices."""

    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DevicesApi:
    """Endpoints about the user's own devices."""

    devices: Devices
    ui_auth: UiAuth

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/devices",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3devices",
    )
    async def all_devices(self, who: Requester) -> dict[str, Any]:
        """All devices of the user."""
        return {"devices": [_answer(device) for device in await self.devices.of_user(who.user_id)]}

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/devices/{device_id}",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3devicesdeviceid",
    )
    async def one(self, who: Requester, device_id: Path[DeviceID]) -> dict[str, Any]:
        """One device of the user."""
        return _answer(await self.devices.device(who.user_id, device_id))

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0}/devices/{device_id}",
        auth=access_token_or_guest,
        spec="client-server-api/#put_matrixclientv3devicesdeviceid",
    )
    async def update(self, who: Requester, device_id: Path[DeviceID], body: Body[DeviceUpdate]) -> None:
        """Give a device a name."""
        await self.devices.rename(who.user_id, device_id, body.display_name)

    @endpoint(
        "DELETE",
        "/_matrix/client/{v3,r0}/devices/{device_id}",
        auth=access_token,
        empty_body_ok=True,
        spec="client-server-api/#delete_matrixclientv3devicesdeviceid",
    )
    async def delete(
        self, who: Requester, request: Request, device_id: Path[DeviceID], body: Body[dict[str, Any]]
    ) -> None:
        """Remove a device and its tokens, after user-interactive authentication."""
        await self._prove(who, request, body)
        await self.devices.remove(who.user_id, [device_id])

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/delete_devices",
        auth=access_token,
        spec="client-server-api/#post_matrixclientv3delete_devices",
    )
    async def delete_several(self, who: Requester, request: Request, body: Body[dict[str, Any]]) -> None:
        """Remove devices and their tokens, after user-interactive authentication."""
        if "auth" not in body:
            _devices(body)
        await self.devices.remove(who.user_id, _devices(await self._prove(who, request, body)))

    async def _prove(self, who: Requester, request: Request, body: dict[str, Any]) -> Any:
        if who.appservice_id is not None:
            return body
        operation, auth = operation_of(request.method, request.target, body, who.user_id)
        return (await self.ui_auth.prove(operation, auth, ((PASSWORD,),))).body


def _devices(body: Any) -> Sequence[DeviceID]:
    try:
        wanted = msgspec.convert(body, DevicesToDelete).devices
    except msgspec.ValidationError as error:
        raise BadJson(str(error)) from None
    return [DeviceID(device_id) for device_id in wanted if "\0" not in device_id]


def _answer(device: Device) -> dict[str, Any]:
    """A device for its owner; what is not known is left out."""
    answer = {
        "device_id": device.device_id,
        "display_name": device.display_name,
        "last_seen_ip": device.last_seen_ip,
        "last_seen_ts": device.last_seen_ts,
    }
    return {name: value for name, value in answer.items() if value is not None}
