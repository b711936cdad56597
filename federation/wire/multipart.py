"""Content with its metadata in one answer, `multipart/mixed` with two parts: what media come in between servers.

https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediadownloadmediaid
https://datatracker.ietf.org/doc/html/rfc2046#section-5.1
"""

import enum
import re
from collections.abc import Mapping
from typing import Final

CRLF: Final = b"\r\n"
MAX_HEADERS: Final = 16 * 1024
"""Bytes of one part's headers."""
MAX_METADATA: Final = 64 * 1024
_BOUNDARY: Final = re.compile(
    r';[ \t]*boundary[ \t]*=[ \t]*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE
)


class Malformed(ValueError):
    """It is not what it should be."""


def boundary_of(content_type: str | None) -> str:
    """The boundary that a Content-Type names. Raises Malformed."""
    text = content_type or ""
    found = _BOUNDARY.search(text)
    if not text.strip().lower().startswith("multipart/") or found is None:
        raise Malformed("it is no multipart/mixed with a boundary")
    return found[1] or found[2]


def opening(boundary: str, headers: Mapping[str, str]) -> bytes:
    """What comes before the content: metadata (there are none as yet), and the headers of the content."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"\r\n--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\n{lines}\r\n".encode()


def closing(boundary: str) -> bytes:
    """What comes after the content."""
    return f"\r\n--{boundary}--\r\n".encode()


class _State(enum.Enum):
    SKIPPING = enum.auto()  # a preamble, or the first part
    DELIMITED = enum.auto()  # behind a boundary
    HEADERS = enum.auto()
    CONTENT = enum.auto()
    ENDED = enum.auto()


class TwoParts:
    """Reads both parts from pieces; holds no more than the headers and a delimiter."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = CRLF + b"--" + boundary.encode("latin-1", "replace")
        self._buffer = CRLF  # so that a delimiter at the very beginning is one, too
        self._state = _State.SKIPPING
        self._skipped = 0
        self._parts = 0
        self.headers: dict[str, str] = {}
        """Of the second part, names in lower case; complete when content comes."""

    @property
    def complete(self) -> bool:
        """Whether the content has ended."""
        return self._state is _State.ENDED

    def feed(self, data: bytes) -> bytes:
        """Take a piece; the content that is certain by now. Raises Malformed."""
        self._buffer += data
        content = []
        while self._state is not _State.ENDED:
            before = (self._state, len(self._buffer))
            content.append(self._step())
            if before == (self._state, len(self._buffer)):
                return b"".join(content)
        self._buffer = b""
        return b"".join(content)

    def _step(self) -> bytes:
        if self._state is _State.SKIPPING:
            self._skipped += len(self._until_delimiter(_State.DELIMITED))
            if self._skipped > MAX_METADATA:
                raise Malformed("its metadata are too large")
        elif self._state is _State.DELIMITED:
            self._after_delimiter()
        elif self._state is _State.HEADERS:
            self._read_headers()
        elif self._state is _State.CONTENT:
            return self._until_delimiter(_State.ENDED)
        return b""

    def _until_delimiter(self, then: _State) -> bytes:
        """Take what cannot be part of a delimiter, and the delimiter if it is whole."""
        at = self._buffer.find(self._delimiter)
        if at < 0:
            keep = len(self._delimiter) - 1
            taken, self._buffer = self._buffer[:-keep], self._buffer[-keep:]
            return taken
        taken, self._buffer = self._buffer[:at], self._buffer[at + len(self._delimiter) :]
        self._state = then
        return taken

    def _after_delimiter(self) -> None:
        line, found, rest = self._buffer.partition(CRLF)
        if not found:
            if len(line) > MAX_HEADERS:
                raise Malformed("a line of it is too long")
            return
        if line.strip():
            raise Malformed(
                "it has less than two parts" if line.startswith(b"--") else "its boundary goes on"
            )
        self._buffer = CRLF + rest  # headers may be none: then the empty line follows at once
        self._parts += 1
        self._state = _State.HEADERS

    def _read_headers(self) -> None:
        head, found, rest = self._buffer.partition(CRLF + CRLF)
        if len(head) > MAX_HEADERS:
            raise Malformed("the headers of a part are too large")
        if not found:
            return
        if self._parts == 1:
            self._buffer, self._state = CRLF + rest, _State.SKIPPING
            return
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                self.headers[name.strip().lower()] = value.strip()
        self._buffer, self._state = rest, _State.CONTENT
