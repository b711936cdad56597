"""ed25519 keys: ours, with which we sign, and those of other servers, by which we verify.

https://spec.matrix.org/v1.19/appendices/#signing-details
"""

import re
from dataclasses import dataclass

from nacl.bindings import (
    crypto_sign,
    crypto_sign_BYTES,
    crypto_sign_open,
    crypto_sign_PUBLICKEYBYTES,
    crypto_sign_seed_keypair,
    crypto_sign_SEEDBYTES,
)
from nacl.exceptions import CryptoError

from homeserver.protocol.base64 import decode_base64, encode_base64
from homeserver.protocol.errors import InvalidParam

ALGORITHM = "ed25519"

_KEY_VERSION = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key of a server, and how long it is good for.

    `valid_until_ts` is in milliseconds: until then the key is known to be its server's. For a key
    in use it is the lesser of what the server published and 7 days after that was fetched; for one
    in `old_verify_keys` it is `expired_ts`. None means that the time does not matter, as for a key
    that an event names.
    """

    key_id: str
    public: bytes
    valid_until_ts: int | None = None
    expired: bool = False

    @classmethod
    def parse(
        cls, key_id: str, text: str, valid_until_ts: int | None = None, expired: bool = False
    ) -> "VerifyKey":
        """From the base64 of a key document. Raises `InvalidParam`."""
        public = decode_base64(text)
        if not is_supported(key_id) or len(public) != crypto_sign_PUBLICKEYBYTES:
            raise InvalidParam("Not an ed25519 key")
        return cls(key_id, public, valid_until_ts, expired)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is of this key over this message."""
        if len(signature) != crypto_sign_BYTES:
            return False
        try:
            crypto_sign_open(signature + message, self.public)
        except (CryptoError, ValueError):
            return False
        return True

    def text(self) -> str:
        """The public key in unpadded base64."""
        return encode_base64(self.public)


class SigningKey:
    """A key of this server. The secret stays inside; `repr` does not show it."""

    __slots__ = ("_secret", "_seed", "key_id", "verify_key")

    def __init__(self, version: str, seed: bytes) -> None:
        """The key `ed25519:<version>` of a seed of 32 random bytes. Raises `InvalidParam`."""
        if not _KEY_VERSION.fullmatch(version):
            raise InvalidParam("A key version consists of the characters A-Z, a-z, 0-9 and _")
        if len(seed) != crypto_sign_SEEDBYTES:
            raise InvalidParam(f"The seed of a signing key has {crypto_sign_SEEDBYTES} bytes")
        public, self._secret = crypto_sign_seed_keypair(seed)
        self._seed = seed
        self.key_id = f"{ALGORITHM}:{version}"
        self.verify_key = VerifyKey(self.key_id, public)

    def __repr__(self) -> str:
        return f"<SigningKey {self.key_id}>"

    @classmethod
    def from_line(cls, line: str) -> "SigningKey":
        """From a line `ed25519 <version> <base64 of the seed>` of a key file. Raises
        `InvalidParam`.
        """
        words = line.split()
        if len(words) != 3 or words[0] != ALGORITHM:
            raise InvalidParam("A line of a signing key file is: ed25519 <version> <base64 seed>")
        return cls(words[1], decode_base64(words[2]))

    def line(self) -> str:
        """The line of a key file, without the line end. It holds the secret."""
        return f"{ALGORITHM} {self.key_id.partition(':')[2]} {encode_base64(self._seed)}"

    def sign(self, message: bytes) -> str:
        """The signature over the message, in unpadded base64."""
        return encode_base64(crypto_sign(message, self._secret)[:crypto_sign_BYTES])


def parse_key_file(text: str) -> list[SigningKey]:
    """The keys of a signing key file, one a line; the first is the one to sign with. Raises
    `InvalidParam` if there is none.
    """
    keys = [SigningKey.from_line(line) for line in text.splitlines() if line.strip()]
    if not keys:
        raise InvalidParam("The signing key file has no key")
    return keys


def is_supported(key_id: str) -> bool:
    """Whether the key ID is of an algorithm that we understand."""
    return key_id.startswith(ALGORITHM + ":")
