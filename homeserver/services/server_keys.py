"""The document in which this server publishes its keys, and what it vouches for as a notary of others'.

https://spec.matrix.org/v1.19/server-server-api/#publishing-keys
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from federation.keyring import ANY_KEY, Keyring
from homeserver.clock import Clock
from homeserver.protocol.canonical_json import decode, encode_canonical
from homeserver.protocol.events.signing import sign_json
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey, VerifyKey

LIFETIME_MS: Final = 24 * 3600 * 1000
MAX_SERVERS: Final = 100


class OwnKeys:
    """Our own document. It is signed anew when half of its lifetime is over."""

    def __init__(
        self, server_name: ServerName, signing_key: SigningKey, old_keys: Sequence[VerifyKey], clock: Clock
    ) -> None:
        """``old_keys`` are those that have signed before."""
        self._server_name = server_name
        self._signing_key = signing_key
        self._old_keys = {
            key.key_id: {"expired_ts": key.valid_until_ts, "key": key.text()}
            for key in old_keys
            if key.key_id != signing_key.key_id
        }
        self._clock = clock
        self._document: dict[str, Any] = {}
        self._renew_ms = 0

    def document(self) -> dict[str, Any]:
        """The document, good for at least half a day."""
        now = self._clock.now_ms()
        if now >= self._renew_ms:
            key = self._signing_key
            unsigned: dict[str, Any] = {
                "server_name": self._server_name,
                "verify_keys": {key.key_id: {"key": key.verify_key.text()}},
                "old_verify_keys": self._old_keys,
                "valid_until_ts": now + LIFETIME_MS,
            }
            signed = sign_json(unsigned, self._server_name, key)
            # As canonical JSON, so that it can be verified as it comes, without its signatures.
            self._document = decode(encode_canonical(signed))
            self._renew_ms = now + LIFETIME_MS // 2
        return self._document


class KeyNotary:
    """Gives others' documents with our signature added: "The notary server will additionally sign the response"."""

    def __init__(
        self, own: OwnKeys, server_name: ServerName, signing_key: SigningKey, keyring: Keyring, clock: Clock
    ) -> None:
        self._own = own
        self._server_name = server_name
        self._signing_key = signing_key
        self._keyring = keyring
        self._clock = clock

    async def documents(self, wanted: Mapping[ServerName, Mapping[str, int | None]]) -> list[dict[str, Any]]:
        """Documents with the wanted keys (all of a server where none is named), valid until the given times or now."""
        now = self._clock.now_ms()
        others: dict[ServerName, dict[str, int]] = {}
        for server, keys in list(wanted.items())[:MAX_SERVERS]:
            if server != self._server_name:
                asked = keys or {ANY_KEY: None}
                others[server] = {key_id: now if until is None else until for key_id, until in asked.items()}
        found = await self._keyring.documents(others) if others else []
        signed = [sign_json(document, self._server_name, self._signing_key) for document in found]
        return [self._own.document(), *signed] if self._server_name in wanted else signed
