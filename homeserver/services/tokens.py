"""What an access or refresh token (or another that we give away) looks like, and the hash under which it is known.

A token is its kind, chance and a checksum. Whoever finds one in a log or a paste can tell what it is, and a
mistyped one is refused without a look at the database. The server keeps only hashes.
"""

import hashlib
import zlib

from homeserver.clock import Randomness

ACCESS = "mat"
REFRESH = "mrt"
OPENID = "mot"
LOGIN = "mlt"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_BYTES = 24
_CHECKSUM_LENGTH = 6


def new_token(kind: str, random: Randomness) -> str:
    """Return a new token of a kind."""
    head = f"{kind}_{random.token(_SECRET_BYTES)}"
    return f"{head}_{_checksum(head)}"


def is_token(kind: str, text: str) -> bool:
    """Whether the text could be a token of this kind."""
    head, _, checksum = text.rpartition("_")
    return text.isascii() and head.startswith(f"{kind}_") and checksum == _checksum(head)


def token_hash(token: str) -> bytes:
    """The hash under which a token is stored. Tokens are long and random, so a plain hash does."""
    return hashlib.sha256(token.encode()).digest()


def _checksum(head: str) -> str:
    number = zlib.crc32(head.encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(digits)
