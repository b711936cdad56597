"""The head of an answer: status line and headers, mostly made of bytes that were joined before."""

from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from homeserver.http.encoding import HeaderPairs

# https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients
_CORS: Final = (
    b"Access-Control-Allow-Origin: *\r\n"
    b"Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
    b"Access-Control-Allow-Headers: X-Requested-With, Content-Type, Authorization, Date\r\n"
    b"Access-Control-Expose-Headers: Retry-After, ETag, Location\r\n"
)
_DEFAULTS: Final[Mapping[str, bytes]] = {
    "server": b"Server: Meridian\r\n",
    "content-type": b"Content-Type: application/json\r\n",
    "cache-control": b"Cache-Control: no-store\r\n",
}
_DEFAULT_LINES: Final = b"".join(_DEFAULTS.values())
_UNSAFE: Final = str.maketrans({"\r": " ", "\n": " ", "\x00": " "})


class Heads:
    """Builds heads; knows the time of day."""

    __slots__ = ("_date", "_date_second", "_now_ms")

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._date_second = -1
        self._date = b""

    def build(self, status: int, headers: HeaderPairs, length: int | None, cors: bool, close: bool) -> bytes:
        """Return a whole head; without a length the body that follows is in chunks."""
        return b"".join(
            (
                _status_line(status),
                self._date_line(),
                _DEFAULT_LINES if not headers else _with_defaults(headers),
                _CORS if cors else b"",
                b"Connection: close\r\n" if close else b"",
                b"Transfer-Encoding: chunked\r\n\r\n"
                if length is None
                else b"Content-Length: %d\r\n\r\n" % length,
            )
        )

    def _date_line(self) -> bytes:
        second = self._now_ms() // 1000
        if second != self._date_second:
            self._date_second = second
            self._date = b"Date: " + formatdate(second, usegmt=True).encode("ascii") + b"\r\n"
        return self._date


_status_lines: Final[dict[int, bytes]] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in HTTPStatus
}


def _status_line(status: int) -> bytes:
    return _status_lines.get(status) or b"HTTP/1.1 %d Status\r\n" % status


def _with_defaults(headers: HeaderPairs) -> bytes:
    own = {name.lower() for name, _ in headers}
    lines = [line for name, line in _DEFAULTS.items() if name not in own]
    lines += [f"{name}: {value.translate(_UNSAFE)}\r\n".encode("utf-8", "replace") for name, value in headers]
    return b"".join(lines)
