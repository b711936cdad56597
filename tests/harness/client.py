"""A client of a site in memory: what a test sends, and what comes back."""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from homeserver.http.site import Site
from tests.harness import conformance
from tests.harness.memory import MemoryConnection

QueryValues = Mapping[str, str | int | bool | list[str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whole and decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def errcode(self) -> str | None:
        """The Matrix error code, if it is an error."""
        code = self.json.get("errcode")
        return None if code is None else str(code)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass(slots=True)
class Pending:
    """A request that may not have been answered yet."""

    connection: MemoryConnection
    method: str
    path: str
    specified: bool
    _data: bytes = b""

    @property
    def done(self) -> bool:
        """Whether the whole answer is there."""
        self._data += self.connection.received()
        return parse_reply(self._data, self.method == "HEAD") is not None

    @property
    def reply(self) -> Reply:
        """The answer. Raises AssertionError when there is none yet, or it is not as specified."""
        self._data += self.connection.received()
        parsed = parse_reply(self._data, self.method == "HEAD")
        if parsed is None:
            raise AssertionError(f"no answer yet, only {self._data!r}")
        reply = parsed[0]
        if self.specified:
            kind = reply.headers.get("content-type", "")
            conformance.check(conformance.Answer(self.method, self.path, reply.status, kind, reply.body))
        return reply

    def abandon(self) -> None:
        """Close the connection, as a client that goes away."""
        self.connection.close()


@dataclass(slots=True)
class Client:
    """Sends requests to a site, each over a connection of its own.

    `pump` is called while an answer is outstanding: it runs whatever the server waits for. Answers must be as
    the specification has them, unless the site is none that is `specified`.
    """

    site: Site
    token: str | None = None
    address: str = "192.0.2.1"
    headers: dict[str, str] = field(default_factory=dict)
    pump: Callable[[], object] | None = None
    specified: bool = True

    def with_token(self, token: str | None) -> "Client":
        """Return the same client with another access token."""
        return replace(self, token=token, headers=dict(self.headers))

    def get(self, path: str, query: QueryValues | None = None, **headers: str) -> Reply:
        """GET, and wait for the answer."""
        return self.request("GET", path, None, query, headers)

    def post(self, path: str, body: object = None, query: QueryValues | None = None, **headers: str) -> Reply:
        """POST a body (bytes as they are, anything else as JSON), and wait for the answer."""
        return self.request("POST", path, {} if body is None else body, query, headers)

    def put(self, path: str, body: object = None, query: QueryValues | None = None, **headers: str) -> Reply:
        """PUT a body (bytes as they are, anything else as JSON), and wait for the answer."""
        return self.request("PUT", path, {} if body is None else body, query, headers)

    def delete(
        self, path: str, body: object = None, query: QueryValues | None = None, **headers: str
    ) -> Reply:
        """DELETE, with a body if there is one, and wait for the answer."""
        return self.request("DELETE", path, body, query, headers)

    def options(self, path: str) -> Reply:
        """OPTIONS, and wait for the answer."""
        return self.request("OPTIONS", path)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: QueryValues | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request and wait for its answer."""
        pending = self.start(method, path, body, query, headers)
        attempts = 0
        while not pending.done:
            if self.pump is None or attempts > 100_000:
                raise AssertionError(f"{method} {path} was not answered")
            self.pump()
            attempts += 1
        reply = pending.reply
        pending.abandon()
        return reply

    def start(
        self,
        method: str,
        path: str,
        body: object = None,
        query: QueryValues | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Pending:
        """Send a request and return at once: for long polls."""
        connection = MemoryConnection(self.site, self.address)
        connection.send(self.encoded(method, path, body, query, headers))
        return Pending(connection, method, path, self.specified)

    def encoded(
        self,
        method: str,
        path: str,
        body: object = None,
        query: QueryValues | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the bytes of a request."""
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {"Host": "test", **self.headers}
        if self.token is not None:
            lines["Authorization"] = f"Bearer {self.token}"
        if content is not None:
            lines |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        target = quote(path, safe="/%:@!$&'()*+,;=~-._?") + _query(query)
        return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + (content or b"")


def _query(query: QueryValues | None) -> str:
    if not query:
        return ""
    texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    return "?" + urlencode(texts, doseq=True)


def parse_reply(data: bytes, head_only: bool = False) -> tuple[Reply, bytes] | None:
    """Read the first answer and return it with what follows it; None when it is not whole yet."""
    while data.startswith(b"HTTP/1.1 100 "):
        data = data.partition(b"\r\n\r\n")[2]
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    status = int(first.split(" ")[1])
    if head_only or status in (204, 304):
        return Reply(status, headers, b""), rest
    parsed = _chunked(rest) if headers.get("transfer-encoding") == "chunked" else _sized(rest, headers)
    if parsed is None:
        return None
    body, rest = parsed
    if headers.get("content-encoding") == "gzip":
        body = zlib.decompress(body, 31)
    return Reply(status, headers, body), rest


def _sized(rest: bytes, headers: Mapping[str, str]) -> tuple[bytes, bytes] | None:
    length = int(headers.get("content-length", "0"))
    return None if len(rest) < length else (rest[:length], rest[length:])


def _chunked(rest: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        size, found, after = rest.partition(b"\r\n")
        if not found:
            return None
        length = int(size, 16)
        if len(after) < length + 2:
            return None
        body, rest = body + after[:length], after[length + 2 :]
        if length == 0:
            return body, rest
