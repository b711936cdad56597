"""An invite that redeems an `m.room.third_party_invite`, proven by the identity server's signature.

Spec: https://spec.matrix.org/latest/server-server-api/#third-party-invites
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice, product
from typing import Any, Final

from homeserver.protocol.auth_rules.room import (
    THIRD_PARTY_INVITE,
    NotAuthorised,
    Room,
    content_object,
    require,
)
from homeserver.protocol.base64 import decode_base64
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import BadJson, InvalidParam
from homeserver.protocol.events.event import Event
from homeserver.protocol.signing_keys import ALGORITHM, VerifyKey, is_supported

MAX_VERIFICATIONS: Final = 100
"""How many pairs of a signature and a key are tried.

Two events at the size limit could ask for half a million, or half a minute. Real invites have one
signature and at most a few keys.
"""

_NOT_SIGNED: Final = frozenset({"signatures", "unsigned"})
_ANY_KEY_ID: Final = f"{ALGORITHM}:0"


def check_third_party_invite(room: Room, target: str) -> None:
    """Raise `NotAuthorised` unless the invite redeems one that the room holds for its token."""
    require(room.membership(target) != "ban", "The user is banned from the room")
    invite = content_object(room.event.content, "third_party_invite")
    signed = None if invite is None else content_object(invite, "signed")
    if signed is None or "mxid" not in signed or "token" not in signed:
        raise NotAuthorised("The third-party invite is not signed")
    require(signed["mxid"] == target, "The third-party invite is for another user")
    token = signed["token"]
    held = room.state(THIRD_PARTY_INVITE, token) if isinstance(token, str) else None
    if held is None:
        raise NotAuthorised("The room has no such third-party invite")
    require(held.sender == room.event.sender, "The third-party invite is another user's")
    require(_is_signed(signed, held), "No signature of the third-party invite is valid")


def _is_signed(signed: Mapping[str, Any], held: Event) -> bool:
    keys = list(_public_keys(held))
    try:
        message = encode_canonical({name: signed[name] for name in signed if name not in _NOT_SIGNED})
    except BadJson:
        return False
    attempts = product(_signatures(signed), keys)
    return any(key.verifies(message, signature) for signature, key in islice(attempts, MAX_VERIFICATIONS))


def _signatures(signed: Mapping[str, Any]) -> Iterator[bytes]:
    """The signatures, in an order that does not depend on how the event was written."""
    by_server = content_object(signed, "signatures") or {}
    for server in sorted(by_server):
        by_key = content_object(by_server, server) or {}
        for key_id in sorted(by_key):
            text = by_key[key_id]
            if is_supported(key_id) and isinstance(text, str):
                with suppress(InvalidParam):
                    yield decode_base64(text)


def _public_keys(held: Event) -> Iterator[VerifyKey]:
    """The keys of the third-party invite. They have no key IDs, so each is tried on each signature."""
    listed = held.content.get("public_keys")
    for entry in (held.content, *(listed if isinstance(listed, list) else ())):
        text = entry.get("public_key") if isinstance(entry, dict) else None
        if isinstance(text, str):
            with suppress(InvalidParam):
                yield VerifyKey.parse(_ANY_KEY_ID, text)
