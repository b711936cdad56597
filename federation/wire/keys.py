"""Servers' signing keys: their own, and as attested by a notary.

https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys
"""

from typing import Any, Final

import msgspec

from federation.wire.route import KIB, MIB, Route


class VerifyKey(msgspec.Struct, frozen=True):
    """A key in use: unpadded base64."""

    key: str


class OldVerifyKey(msgspec.Struct, frozen=True):
    """A key that is out of use since `expired_ts` (ms): good for older events only."""

    key: str
    expired_ts: int


class ServerKeys(msgspec.Struct, frozen=True):
    """The document in which a server publishes its keys.

    What is verified is the JSON itself, which has further fields.
    """

    server_name: str
    verify_keys: dict[str, VerifyKey]
    valid_until_ts: int
    signatures: dict[str, dict[str, str]]
    old_verify_keys: dict[str, OldVerifyKey] = {}


class KeyCriteria(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked of a key; ms since the epoch, absent means now."""

    minimum_valid_until_ts: int | None = None


class KeyQuery(msgspec.Struct, frozen=True):
    """Server name to key ID to criteria; no key IDs means all keys."""

    server_keys: dict[str, dict[str, KeyCriteria]]


class KeyQueryParameters(msgspec.Struct, frozen=True):
    """Query string of the notary's GET."""

    minimum_valid_until_ts: int | None = None


class KeyDocuments(msgspec.Struct, frozen=True):
    """A notary's answer: documents as their servers signed them, with the notary's signature added."""

    server_keys: list[dict[str, Any]]


OWN: Final = Route(
    "GET", "/_matrix/key/v2/server", dict[str, Any], signed=False, max_answer_bytes=128 * KIB, timeout_s=10.0
)
OWN_BY_ID: Final = Route(
    "GET",
    "/_matrix/key/v2/server/{key_id}",
    dict[str, Any],
    signed=False,
    max_answer_bytes=128 * KIB,
    timeout_s=10.0,
)
NOTARY: Final = Route(
    "GET",
    "/_matrix/key/v2/query/{server_name}",
    KeyDocuments,
    query=KeyQueryParameters,
    signed=False,
)
NOTARY_BY_ID: Final = Route(
    "GET",
    "/_matrix/key/v2/query/{server_name}/{key_id}",
    KeyDocuments,
    query=KeyQueryParameters,
    signed=False,
)
NOTARY_BATCH: Final = Route(
    "POST",
    "/_matrix/key/v2/query",
    KeyDocuments,
    body=KeyQuery,
    signed=False,
    max_answer_bytes=16 * MIB,
)
