"""The documents in which servers publish their keys: read, checked and bounded in time.

https://spec.matrix.org/v1.19/server-server-api/#publishing-keys
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from federation.wire.keys import ServerKeys
from homeserver.protocol.errors import BadJson, InvalidParam, InvalidSignature
from homeserver.protocol.events.signing import verify_json
from homeserver.protocol.identifiers import ServerName, is_server_name
from homeserver.protocol.signing_keys import VerifyKey, is_supported

LONGEST_VALIDITY_MS: Final = 7 * 24 * 3600 * 1000
MAX_KEYS: Final = 200


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """The keys of a server by ID, as of one document. `document` is the JSON as it was signed; times are ms.

    `direct` tells that it came from the server itself just now; what a notary has may be old.
    """

    server: ServerName
    keys: dict[str, VerifyKey]
    valid_until_ts: int
    fetched_ts: int
    document: dict[str, Any]
    direct: bool


def read_document(document: Any, now_ms: int, direct: bool) -> PublishedKeys:
    """Read a document and check that its server has signed it. Raises BadJson or InvalidSignature.

    "Servers MUST use the lesser of this field [`valid_until_ts`] and 7 days into the future when determining if a key
    is valid."
    """
    try:
        published = msgspec.convert(document, ServerKeys)
    except msgspec.ValidationError as error:
        raise BadJson(f"Not a document of server keys: {error}") from error
    if not is_server_name(published.server_name):
        raise BadJson("A document of server keys names no server")
    if len(published.verify_keys) + len(published.old_verify_keys) > MAX_KEYS:
        raise BadJson("A document of server keys has too many keys")
    valid_until = max(0, min(published.valid_until_ts, now_ms + LONGEST_VALIDITY_MS))
    in_use = {
        key_id: key
        for key_id, each in published.verify_keys.items()
        if (key := _key(key_id, each.key, valid_until, expired=False)) is not None
    }
    if not in_use:
        raise InvalidSignature("A document of server keys has no key that we understand")
    verify_json(document, published.server_name, in_use)
    old = {
        key_id: key
        for key_id, each in published.old_verify_keys.items()
        if (key := _key(key_id, each.key, max(0, min(each.expired_ts, now_ms)), expired=True)) is not None
    }
    return PublishedKeys(
        ServerName(published.server_name), old | in_use, valid_until, now_ms, document, direct
    )


def _key(key_id: str, text: str, valid_until_ts: int, *, expired: bool) -> VerifyKey | None:
    """A key, unless it is of an algorithm that we do not know, or none at all."""
    if not is_supported(key_id) or len(key_id) > 255:
        return None
    try:
        return VerifyKey.parse(key_id, text, valid_until_ts, expired)
    except InvalidParam:
        return None
