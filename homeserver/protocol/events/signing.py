"""Signatures of JSON objects and of events: making them, and who must have made them.

https://spec.matrix.org/v1.19/appendices/#signing-json
https://spec.matrix.org/v1.19/server-server-api/#signing-events
"""

from collections.abc import Mapping
from typing import Any

from homeserver.protocol.base64 import decode_base64
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import BadJson, InvalidEvent, InvalidParam, InvalidSignature
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.hashes import signed_bytes
from homeserver.protocol.identifiers import ServerName, is_user_id, server_of
from homeserver.protocol.room_versions import RoomVersion
from homeserver.protocol.signing_keys import SigningKey, VerifyKey, is_supported

__all__ = [
    "SigningKey",
    "VerifyKey",
    "is_third_party_invite",
    "required_signers",
    "sign_json",
    "sign_pdu",
    "signing_key_ids",
    "verify_event",
    "verify_json",
    "with_signature",
]

_NOT_SIGNED = frozenset({"signatures", "unsigned"})


def sign_json(obj: dict[str, Any], server_name: str, key: SigningKey) -> dict[str, Any]:
    """A copy of the object with our signature beside those it has. Raises `BadJson` if it has no
    canonical form.
    """
    return with_signature(obj, server_name, key.key_id, key.sign(_signed_bytes_of_json(obj)))


def verify_json(obj: Mapping[str, Any], server_name: str, keys: Mapping[str, VerifyKey]) -> None:
    """Check that the server has signed the object with one of its keys, given by key ID. Raises
    `InvalidSignature`.

    https://spec.matrix.org/v1.19/appendices/#checking-for-a-signature
    """
    try:
        message = _signed_bytes_of_json(obj)
    except BadJson as error:
        raise InvalidSignature(error.message) from error
    _verify(_signatures_of(obj, server_name), message, list(keys.values()), server_name)


def sign_pdu(pdu: dict[str, Any], version: RoomVersion, server_name: str, key: SigningKey) -> dict[str, Any]:
    """A copy of the PDU with our signature over what a redaction leaves of it. The PDU has its
    `hashes` already.
    """
    return with_signature(pdu, server_name, key.key_id, key.sign(signed_bytes(pdu, version)))


def with_signature(obj: dict[str, Any], server_name: str, key_id: str, signature: str) -> dict[str, Any]:
    """A copy of the object with this signature (which another server may have made) beside those it
    has.
    """
    signatures = obj.get("signatures", {})
    by_server = {**signatures, server_name: {**signatures.get(server_name, {}), key_id: signature}}
    return {**obj, "signatures": by_server}


def required_signers(event: Event) -> frozenset[ServerName]:
    """The servers whose signatures the event must bear. Raises `InvalidEvent` if it names one that
    cannot exist.

    * The server of the sender, unless the event is a third-party invite: then "the server which
      actually sends the event may
      be a different server", and the authorisation rules look for the identity server's signature
      in it.
    * In room versions 1 and 2 the server that the event ID names.
    * Where there are restricted joins, the server of the user that let the member in.

    https://spec.matrix.org/v1.19/server-server-api/#validating-hashes-and-signatures-on-received-events
    """
    signers = set()
    if not is_third_party_invite(event):
        signers.add(server_of(event.sender))
    if event.version.event_id_server_signs:
        signers.add(server_of(event.event_id))
    if event.version.restricted_joins and event.type == "m.room.member":
        authoriser = event.content.get("join_authorised_via_users_server")
        if authoriser is not None:
            if not (isinstance(authoriser, str) and is_user_id(authoriser)):
                raise InvalidEvent("join_authorised_via_users_server is not a user ID")
            signers.add(server_of(authoriser))
    return frozenset(signers)


def is_third_party_invite(event: Event) -> bool:
    """Whether the event invites somebody who was first invited by a third-party identifier."""
    return event.membership == "invite" and "third_party_invite" in event.content


def signing_key_ids(obj: Mapping[str, Any], server_name: str) -> frozenset[str]:
    """The IDs of the server's keys by which the object claims to be signed, of algorithms that we
    understand.
    """
    return frozenset(_signatures_of(obj, server_name))


def verify_event(event: Event, server_name: str, keys: Mapping[str, VerifyKey]) -> None:
    """Check that the server has signed the event with one of its keys, given by key ID. Raises
    `InvalidSignature`.

    Signatures by keys that are not given, or were not valid at the event's time, are skipped; of
    the others there must be one, and all must be right. Before room version 5 only a key that its
    server has given up counts as not valid.

    https://spec.matrix.org/v1.19/rooms/v5/#signing-key-validity-period
    """
    timestamp = event.origin_server_ts
    valid = [key for key in keys.values() if _valid_at(key, timestamp, event.version)]
    try:
        message = signed_bytes(event.pdu, event.version)
    except BadJson as error:
        raise InvalidSignature(error.message) from error
    _verify(_signatures_of(event.pdu, server_name), message, valid, server_name)


def _valid_at(key: VerifyKey, timestamp: int, version: RoomVersion) -> bool:
    if key.valid_until_ts is None or not (key.expired or version.enforces_key_validity):
        return True
    return timestamp <= key.valid_until_ts


def _verify(signatures: dict[str, str], message: bytes, keys: list[VerifyKey], server_name: str) -> None:
    verified = False
    for key in keys:
        text = signatures.get(key.key_id)
        if text is None:
            continue
        try:
            signature = decode_base64(text)
        except InvalidParam as error:
            raise InvalidSignature(f"The signature of {server_name} is not base64") from error
        if not key.verifies(message, signature):
            raise InvalidSignature(f"The signature of {server_name} by {key.key_id} is wrong")
        verified = True
    if not verified:
        raise InvalidSignature(f"No signature of {server_name} by a known and valid key")


def _signatures_of(obj: Mapping[str, Any], server_name: str) -> dict[str, str]:
    """The server's signatures by key ID, leaving out what is not one."""
    by_server = obj.get("signatures")
    by_key = by_server.get(server_name) if isinstance(by_server, dict) else None
    if not isinstance(by_key, dict):
        return {}
    return {
        key_id: text
        for key_id, text in by_key.items()
        if isinstance(text, str) and isinstance(key_id, str) and is_supported(key_id)
    }


def _signed_bytes_of_json(obj: Mapping[str, Any]) -> bytes:
    return encode_canonical({key: value for key, value in obj.items() if key not in _NOT_SIGNED})
