"""Taking the items of long lists out of a JSON object while its bytes arrive.

The state of a large room is one JSON object of hundreds of megabytes. Here it is cut into its items without being held:
each item leaves as bytes as soon as it is whole, and what is left in the end is the object with these lists empty. How
deep an item nests and whether it is JSON at all is for who decodes it: here brackets are counted, and a bad item spoils
itself alone.
"""

import re
from collections.abc import Callable, Collection
from typing import Final, TypeAlias

import orjson

Item: TypeAlias = tuple[str, bytes]
"""The name of a list, and the JSON of an item of it."""

MAX_ITEM_BYTES: Final = 1024 * 1024
"""Of one item, or of one other value of the object. An event has 64 KiB, but for what is not signed."""
MAX_ITEMS: Final = 2_000_000
MAX_REST_BYTES: Final = 4 * 1024 * 1024
_AT_ONCE: Final = 64 * 1024
"""Bytes that are gathered before they are looked at, so that a value that comes byte by byte costs no more."""

_SPACE: Final = re.compile(rb"[ \t\n\r]*+")
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb'[^ \t\n\r,:"\[\]{}]++(?=[ \t\n\r,:"\[\]{}])')
_UP_TO_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+[{}\[\]]', re.DOTALL)
_OPENING: Final = frozenset(b"{[")
_QUOTE: Final = ord('"')
_OUT_OF_PLACE: Final = frozenset(b",:]}")


class NotSplittable(Exception):
    """The bytes are no JSON object, or one that is not to be had within the limits."""


class ListSplitter:
    """Splits one object. `names` are those of its lists whose items are taken out; they may each be there once."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._met: set[str] = set()
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._buffer = b""
        self._start = 0  # what comes before this has been taken
        self._scanned = 0  # and what comes before this has been looked through, if brackets are open
        self._open = 0
        self._key = b""
        self._name = ""
        self._items: list[Item] = []
        self._count = 0
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._step: Callable[[], bool] = self._opening

    def feed(self, data: bytes) -> list[Item]:
        """Take bytes; gives the items that are whole by now. Raises NotSplittable."""
        self._pieces.append(data)
        self._gathered += len(data)
        return self._work() if self._gathered >= _AT_ONCE else []

    def finish(self) -> tuple[list[Item], bytes]:
        """The last items, and the object without any. Raises NotSplittable."""
        items = self._work()
        if self._step != self._end:
            raise NotSplittable("the JSON is cut off")
        return items, b"".join(self._rest)

    def _work(self) -> list[Item]:
        self._buffer = b"".join((self._buffer[self._start :], *self._pieces))
        self._scanned -= self._start
        self._start = self._gathered = 0
        self._pieces.clear()
        while self._step():
            pass
        if len(self._buffer) - self._start > MAX_ITEM_BYTES:
            raise NotSplittable("a value in the JSON is too large")
        items, self._items = self._items, []
        return items

    # Each step goes on by one piece of syntax and says which one is next; False: its bytes are not all there yet.

    def _opening(self) -> bool:
        return self._punctuation({b"{": self._first_key})

    def _first_key(self) -> bool:
        return self._closes_or(b"}", self._end, self._key_of_value)

    def _key_of_value(self) -> bool:
        if self._next() not in (b'"', b""):
            raise NotSplittable("a key of the JSON object is not a string")
        key = self._value()
        if key is None:
            return False
        self._key, self._name = key, _text(key)
        self._step = self._colon
        return True

    def _colon(self) -> bool:
        return self._punctuation({b":": self._any_value}, keep=False)

    def _any_value(self) -> bool:
        first = self._next()
        if self._name not in self._names or first not in (b"[", b""):
            self._step = self._other_value
            return True
        if not first:
            return False
        if self._name in self._met:
            raise NotSplittable("the JSON has a list twice")
        self._met.add(self._name)
        self._keep(self._key + b":[]")
        return self._punctuation({b"[": self._first_item}, keep=False)

    def _other_value(self) -> bool:
        value = self._value()
        if value is None:
            return False
        self._keep(b"%b:%b" % (self._key, value))
        self._step = self._after_value
        return True

    def _after_value(self) -> bool:
        return self._punctuation({b",": self._key_of_value, b"}": self._end})

    def _first_item(self) -> bool:
        return self._closes_or(b"]", self._after_value, self._item)

    def _item(self) -> bool:
        item = self._value()
        if item is None:
            return False
        self._count += 1
        if self._count > MAX_ITEMS:
            raise NotSplittable("the JSON has too many items")
        self._items.append((self._name, item))
        self._step = self._after_item
        return True

    def _after_item(self) -> bool:
        return self._punctuation({b",": self._item, b"]": self._after_value}, keep=False)

    def _end(self) -> bool:
        if self._next():
            raise NotSplittable("something follows the JSON object")
        return False

    def _next(self) -> bytes:
        """The next byte that is not space; empty: it is not there yet."""
        if not self._open:
            match = _SPACE.match(self._buffer, self._start)
            self._start = match.end() if match is not None else self._start
        return self._buffer[self._start : self._start + 1]

    def _closes_or(self, bracket: bytes, closed: Callable[[], bool], more: Callable[[], bool]) -> bool:
        found = self._next()
        if found == bracket:
            return self._punctuation({bracket: closed}, keep=bracket == b"}")
        self._step = more if found else self._step
        return bool(found)

    def _punctuation(self, then: dict[bytes, Callable[[], bool]], *, keep: bool = True) -> bool:
        found = self._next()
        if not found:
            return False
        if found not in then:
            raise NotSplittable("the JSON has something in a wrong place")
        self._step = then[found]
        self._start += 1
        if keep:
            self._keep(found)
        return True

    def _keep(self, part: bytes) -> None:
        """Have a part stay in the object."""
        self._rest.append(part)
        self._rest_bytes += len(part)
        if self._rest_bytes > MAX_REST_BYTES:
            raise NotSplittable("the JSON without its lists is too large")

    def _value(self) -> bytes | None:
        """The whole next value; None: not all of it is there yet."""
        first = self._next()
        if not first:
            return None
        if first[0] in _OPENING:
            end = self._bracketed()
        elif first[0] in _OUT_OF_PLACE:
            raise NotSplittable("the JSON lacks a value")
        else:
            match = (_STRING if first[0] == _QUOTE else _SCALAR).match(self._buffer, self._start)
            end = match.end() if match is not None else None
        if end is None:
            return None
        value = self._buffer[self._start : end]
        self._start = end
        if len(value) > MAX_ITEM_BYTES:
            raise NotSplittable("a value in the JSON is too large")
        return value

    def _bracketed(self) -> int | None:
        """Where the brackets that are open here are closed."""
        at = self._scanned if self._open else self._start
        depth, buffer = self._open, self._buffer
        while (match := _UP_TO_BRACKET.match(buffer, at)) is not None:
            at = match.end()
            depth += 1 if buffer[at - 1] in _OPENING else -1
            if depth == 0:
                self._open = 0
                return at
        self._open, self._scanned = depth, at
        return None


def _text(key: bytes) -> str:
    try:
        return str(orjson.loads(key))
    except ValueError as error:
        raise NotSplittable("a key of the JSON object is not a string") from error
