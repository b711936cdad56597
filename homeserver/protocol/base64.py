"""Unpadded base64, in which Matrix writes hashes, keys and signatures.

https://spec.matrix.org/v1.19/appendices/#unpadded-base64
"""

import binascii

from homeserver.protocol.errors import InvalidParam

_TO_STANDARD = str.maketrans("-_", "+/")


def encode_base64(data: bytes) -> str:
    """The standard alphabet, without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").decode()


def encode_base64_url(data: bytes) -> str:
    """The URL-safe alphabet, without padding."""
    return encode_base64(data).replace("+", "-").replace("/", "_")


def decode_base64(text: str) -> bytes:
    """The bytes of either alphabet, "with or without padding characters". Raises `InvalidParam`."""
    plain = text.rstrip("=").translate(_TO_STANDARD)
    try:
        return binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except ValueError as error:
        raise InvalidParam("Not base64") from error
