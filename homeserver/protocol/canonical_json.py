"""Canonical JSON: the one byte form of a value that is hashed and signed; and the reader of all
JSON from outside.

https://spec.matrix.org/v1.19/appendices/#canonical-json

orjson does the work, as it is several times faster than the encoder of the standard library. The
two differ in four things, which this module levels:

* orjson refuses integers beyond 64 bits when it writes, and reads them as floats: see `decode` and
  `encode_lenient`;
* it refuses values nested deeper than 253 levels: none of our events is, see `MAX_DEPTH`;
* it writes floats in its own manner: room versions 1 to 5, where they can occur, use
  `encode_lenient`;
* it writes NaN as `null`: neither reader lets a NaN in.

orjson sorts keys by their UTF-8 bytes and the specification by code points; that is the same order.
"""

import json
from math import isfinite
from typing import Any

import orjson

from homeserver.protocol.errors import BadJson, NotJson

MAX_INTEGER = 2**53 - 1
"""The largest integer of canonical JSON; the smallest is its negative."""

MAX_DEPTH = 240
"""How deep objects and arrays may nest in an event. The specification sets no limit; beyond this no
fast encoder follows.
"""

# The fastest way to see whether a text may have an integer beyond 64 bits, thirteen times as fast as
# a regular expression: with every digit made a 0, look for 19 of them.
_ALL_DIGITS_ZERO = bytes.maketrans(b"123456789", b"000000000")
_BIG_INTEGER = b"0" * 19

_exact = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False
)


def encode_canonical(value: Any) -> bytes:
    """The canonical form of a value without floats. Raises `BadJson` if it has none (a lone
    surrogate, endless nesting).
    """
    try:
        return compact(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
    except TypeError:
        return encode_lenient(value)


def compact(encoded: bytes) -> bytes:
    """The same bytes, to be kept: each result of orjson holds 4 KB, however short it is."""
    return b"%b" % encoded


def encode_lenient(value: Any) -> bytes:
    """The form in which servers have always hashed what canonical JSON forbids: big integers, and
    floats as Python shows them.

    Room versions 1 to 5 ["MUST NOT strictly enforce the JSON format"](https://spec.matrix.org/v1.19/rooms/v1/#canonical-json).
    """
    try:
        return _exact.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadJson("The JSON has no canonical form") from error


def decode(data: bytes | str) -> Any:
    """Read JSON. Raises `NotJson`; refuses NaN, lone surrogates, text that is not UTF-8 and nesting
    beyond 1,024 levels.

    Integers beyond 64 bits stay exact: the (very few) texts that may have one are read by the
    standard library.
    """
    try:
        text = data.encode() if isinstance(data, str) else data
    except UnicodeEncodeError as error:
        raise NotJson from error
    if _BIG_INTEGER in text.translate(_ALL_DIGITS_ZERO):
        return _decode_exactly(text)
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise NotJson from error


def check_canonical(value: Any) -> None:
    """The strict rule for events of room version 6 and later, and for all content that our own
    users send.

    Integers lie within ±(2^53 - 1), there are no floats, and nothing is nested deeper than
    `MAX_DEPTH`. Raises `BadJson`.

    https://spec.matrix.org/v1.19/rooms/v6/#canonical-json
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        level = _children(level)
        if not level:
            return
    raise BadJson("The JSON is nested too deeply")


def is_canonical(value: Any) -> bool:
    """Whether a value passes `check_canonical`: every client can read it."""
    try:
        check_canonical(value)
    except BadJson:
        return False
    return True


def check_depth(value: Any) -> None:
    """What is left of `check_canonical` for room versions 1 to 5: nothing is nested deeper than
    `MAX_DEPTH`.
    """
    level = [[value]]
    for _ in range(MAX_DEPTH + 1):
        values = [child for children in level for child in children]
        level = [child for child in values if type(child) is list]
        level += [list(child.values()) for child in values if type(child) is dict]
        if not level:
            return
    raise BadJson("The JSON is nested too deeply")


def with_integers(value: Any) -> Any:
    """A copy of the value in which floats that are integers are written as such: canonical JSON
    writes `1e10` as `10000000000`.

    For what our own users send; an event of another server is refused instead, as it has been
    hashed by others already.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER:
        return int(value)
    if isinstance(value, dict):
        return {key: with_integers(child) for key, child in value.items()}
    if isinstance(value, list):
        return [with_integers(child) for child in value]
    return value


def _decode_exactly(data: bytes) -> Any:
    """Read JSON as `orjson` does, but for integers."""
    try:
        value = json.loads(data.decode(), parse_float=_finite, parse_constant=_finite)
        # The standard library lets lone surrogates pass.
        _exact.encode(value).encode()
    except (ValueError, RecursionError) as error:
        raise NotJson from error
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("Not a finite number")
    return number


def _children(level: list[Any]) -> list[Any]:
    """The objects and arrays directly inside the values of a level. Raises `BadJson` for a number
    that is not canonical.
    """
    below: list[Any] = []
    for value in level:
        kind = type(value)
        if kind is dict:
            _sort_out(value.values(), below)
        elif kind is list:
            _sort_out(value, below)
        else:
            _sort_out((value,), below)
    return below


def _sort_out(values: Any, below: list[Any]) -> None:
    for value in values:
        kind = type(value)
        if kind is str or kind is bool or value is None:
            continue
        if kind is int:
            if not -MAX_INTEGER <= value <= MAX_INTEGER:
                raise BadJson("An integer is out of the range of canonical JSON")
        elif kind is dict or kind is list:
            below.append(value)
        else:
            raise BadJson(
                "The JSON has a number that is not an integer" if kind is float else "Not a JSON value"
            )
