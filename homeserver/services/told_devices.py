"""What other servers tell of their users' devices and keys, read.

https://spec.matrix.org/v1.19/server-server-api/#device-management
"""

from collections.abc import Mapping
from typing import Any, Final

from federation.wire.devices import UserDevices
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import BadGateway, BadJson, InvalidParam, MatrixError
from homeserver.protocol.identifiers import DeviceID, ServerName, UserID, is_user_id, server_of
from homeserver.services.cross_signing import public_key
from storage.tables.remote_devices import RemoteDevice

Json = dict[str, Any]

MAX_DEVICES: Final = 1_000
"""Devices of one user that are kept: a server with more of them is up to something."""


class DeviceUpdate:
    """The content of an `m.device_list_update`. Raises InvalidParam, BadJson for what is none."""

    def __init__(self, origin: ServerName, content: Json) -> None:
        self.user_id = user_of(origin, content.get("user_id"))
        self.device_id = _device_id(content.get("device_id"))
        stream_id, prev_id = content.get("stream_id"), content.get("prev_id", [])
        if type(stream_id) is not int or not 0 <= stream_id < 2**63 or not isinstance(prev_id, list):
            raise BadJson("`stream_id` must be an integer and `prev_id` a list")
        self.stream_id = stream_id
        self._prev = [each for each in prev_id if type(each) is int]
        self.deleted = content.get("deleted") is True
        self.display_name = _name(content.get("device_display_name"))
        self.keys = _keys(self.user_id, self.device_id, content.get("keys"))

    @property
    def is_seen(self) -> bool:
        """Whether clients may have something to see of it: not of a device without keys."""
        return self.deleted or self.keys is not None

    def leaves_gap(self, known: int) -> bool:
        """Whether something lies between the list as it is known and this update."""
        return not self._prev or any(prev > known for prev in self._prev)


def user_of(origin: ServerName, user_id: object) -> UserID:
    if not isinstance(user_id, str) or not is_user_id(user_id) or server_of(user_id) != origin:
        raise InvalidParam("The user is not of your server")
    return UserID(user_id)


def _device_id(device_id: object) -> DeviceID:
    if not isinstance(device_id, str) or not device_id or "\0" in device_id or len(device_id) > 512:
        raise BadJson("`device_id` must be a text")
    return DeviceID(device_id)


def _name(name: object) -> str | None:
    return name[:256] if isinstance(name, str) and "\0" not in name else None


def are_keys(user_id: UserID, device_id: DeviceID, keys: object) -> bool:
    """Whether something that another server told are the keys of a device: clients take such, and nothing else."""
    return (
        isinstance(keys, dict)
        and (keys.get("user_id"), keys.get("device_id")) == (user_id, device_id)
        and isinstance(keys.get("algorithms"), list)
        and all(isinstance(each, str) for each in keys["algorithms"])
        and _are_texts(keys.get("keys"))
        and isinstance(keys.get("signatures"), dict)
        and all(_are_texts(each) for each in keys["signatures"].values())
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _keys(user_id: UserID, device_id: DeviceID, keys: object) -> str | None:
    """Keys of a device as clients take them. Fields that are missing are filled in: nobody can encrypt for such a
    device, but its name is shown.
    """
    if not isinstance(keys, dict):
        return None
    empty = {"user_id": user_id, "device_id": device_id, "algorithms": [], "keys": {}, "signatures": {}}
    whole = {**empty, **keys}
    if not are_keys(user_id, device_id, whole):
        return None
    text = encode_canonical(whole).decode()
    return text if len(text) <= 65_536 else None


def devices_of(user_id: UserID, answer: UserDevices) -> dict[DeviceID, RemoteDevice]:
    """The usable devices of an answer."""
    found: dict[DeviceID, RemoteDevice] = {}
    for device in answer.devices[:MAX_DEVICES]:
        if isinstance(device, dict):
            try:
                device_id = _device_id(device.get("device_id"))
                name = _name(device.get("device_display_name"))
                found[device_id] = RemoteDevice(
                    user_id, device_id, name, _keys(user_id, device_id, device.get("keys"))
                )
            except MatrixError:
                continue
    if answer.user_id != user_id or not 0 <= answer.stream_id < 2**63:
        raise BadGateway("The server answered about another user, or no list of devices")
    return found


def signing_key(usage: str, user_id: UserID, key: object) -> str | None:
    if key is None:
        return None
    if not isinstance(key, dict) or key.get("user_id") != user_id:
        raise BadJson(f"Not a {usage} key of the user")
    public_key(usage, key)
    return encode_canonical(key).decode()


def signing_key_of(usage: str, user_id: UserID, key: Mapping[str, Any] | None) -> str | None:
    """The JSON of a cross-signing key that another server told; None for what is none."""
    try:
        return signing_key(usage, user_id, key)
    except MatrixError:
        return None
