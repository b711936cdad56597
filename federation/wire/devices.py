"""Devices and end-to-end keys of a server's users.

https://spec.matrix.org/v1.19/server-server-api/#end-to-end-encryption
"""

from typing import Any, Final

import msgspec

from federation.wire.route import MIB, JsonObject, Route


class UserDevices(msgspec.Struct, frozen=True, omit_defaults=True):
    """All devices of a user, as of `stream_id` in the order of the user's `m.device_list_update`s."""

    user_id: str
    stream_id: int
    devices: list[Any]
    master_key: JsonObject | None = None
    self_signing_key: JsonObject | None = None


class KeysQuery(msgspec.Struct, frozen=True):
    """User ID to device IDs; an empty list means all devices."""

    device_keys: dict[str, list[str]]


class UserKeys(msgspec.Struct, frozen=True):
    """Device keys by user and device, cross-signing keys by user."""

    device_keys: dict[str, JsonObject]
    master_keys: dict[str, JsonObject] = {}
    self_signing_keys: dict[str, JsonObject] = {}


class KeysClaim(msgspec.Struct, frozen=True):
    """User ID to device ID to the algorithm of the wanted one-time key."""

    one_time_keys: dict[str, dict[str, str]]


class ClaimedKeys(msgspec.Struct, frozen=True):
    """User ID to device ID to key ID to key."""

    one_time_keys: dict[str, JsonObject]


USER_DEVICES: Final = Route(
    "GET", "/_matrix/federation/v1/user/devices/{user_id}", UserDevices, max_answer_bytes=8 * MIB
)
QUERY_KEYS: Final = Route(
    "POST", "/_matrix/federation/v1/user/keys/query", UserKeys, body=KeysQuery, max_answer_bytes=32 * MIB
)
CLAIM_KEYS: Final = Route(
    "POST", "/_matrix/federation/v1/user/keys/claim", ClaimedKeys, body=KeysClaim, max_answer_bytes=8 * MIB
)
