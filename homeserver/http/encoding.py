"""What endpoints return, turned into bytes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

HeaderPairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RawJson:
    """JSON that is built already, mostly of cached pieces."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """An answer with a status, headers or a content type of its own; without Content-Type it is JSON."""

    status: int = 200
    headers: HeaderPairs = ()
    body: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body comes in pieces: sent as the client takes it, never compressed or held whole.

    With `length` (bytes) the client sees how much is to come; without it the body is sent in chunks.
    """

    chunks: AsyncIterator[bytes]
    status: int = 200
    headers: HeaderPairs = ()
    length: int | None = None


def page(html: str, status: int = 200, headers: HeaderPairs = ()) -> Response:
    """Return an answer for people.

    The HTML may load nothing unless `headers` bring a wider Content-Security-Policy.
    """
    policy = (
        () if any(name.lower() == "content-security-policy" for name, _ in headers) else (_CLOSED_POLICY,)
    )
    return Response(status, (("Content-Type", "text/html; charset=utf-8"), *policy, *headers), html.encode())


_CLOSED_POLICY = (
    "Content-Security-Policy",
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
)


def encode_json(value: object) -> bytes:
    """Return the JSON of a struct, a dict, a list, None (an empty object) or of bytes built already.

    What another server told may have numbers and a depth that the fast encoder refuses.
    """
    if value is None:
        return b"{}"
    if isinstance(value, RawJson):
        return value.body
    if isinstance(value, msgspec.Struct):
        return _structs.encode(value)
    try:
        return orjson.dumps(value, _foreign_to_orjson)
    except TypeError:
        return _structs.encode(value)


def _foreign_to_orjson(value: Any) -> object:
    if isinstance(value, msgspec.Struct):
        return orjson.Fragment(_structs.encode(value))
    if isinstance(value, msgspec.Raw):
        return orjson.Fragment(bytes(value))
    if isinstance(value, RawJson):
        return orjson.Fragment(value.body)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _foreign_to_msgspec(value: Any) -> object:
    if isinstance(value, orjson.Fragment):
        return msgspec.Raw(orjson.dumps(value))
    if isinstance(value, RawJson):
        return msgspec.Raw(value.body)
    raise TypeError(f"{type(value).__name__} is not JSON")


_structs = msgspec.json.Encoder(enc_hook=_foreign_to_msgspec)
