"""One request as endpoints and authenticators see it: whole, parsed where it was asked for, and free of Twisted."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from homeserver.http.bodies import BodyStream
from homeserver.protocol.errors import InvalidParam, NotJson

_EMPTY: Final[dict[str, list[str]]] = {}
_NO_HEADERS: Final[Mapping[bytes, Sequence[bytes]]] = {}
_MAX_QUERY_FIELDS: Final = 1000
_UNREAD: Final = object()


class Request:
    """A request whose body has arrived, or arrives as a `stream` while it is answered.

    `target` is the request target as it was sent (path and query, percent-encoded), which is what servers sign.
    `address` is the client's address in text; behind a trusted proxy the one the proxy saw. `abandoned` tells that
    nobody waits for the answer any more.
    """

    __slots__ = (
        "_json",
        "_query",
        "abandoned",
        "address",
        "body",
        "headers",
        "method",
        "principal",
        "request_id",
        "stream",
        "target",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: Mapping[bytes, Sequence[bytes]],
        body: bytes,
        address: str,
        request_id: str,
        stream: BodyStream | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.address = address
        self.request_id = request_id
        self.stream = stream
        self.abandoned = False
        self.principal: object = None
        self._query: dict[str, list[str]] | None = None
        self._json: Any = _UNREAD

    @property
    def query(self) -> Mapping[str, Sequence[str]]:
        """The decoded query: every value of every key. Raises InvalidParam for bad UTF-8 or too many fields."""
        if self._query is None:
            self._query = _parsed_query(self.target)
        return self._query

    def header(self, name: str) -> Sequence[str]:
        """Return every value of a header, in order; the name in any case."""
        values = self.headers.get(name.lower().encode("ascii"), ())
        return [value.decode("utf-8", "surrogateescape") for value in values]

    @property
    def user_agent(self) -> str:
        """The User-Agent header, or an empty string."""
        values = self.headers.get(b"user-agent")
        return values[0].decode("utf-8", "replace") if values else ""

    def json(self) -> Any:
        """Return the decoded body, parsed once. Raises NotJson."""
        if self._json is _UNREAD:
            try:
                self._json = orjson.loads(self.body)
            except orjson.JSONDecodeError as error:
                raise NotJson(f"The body is not JSON: {error.msg}") from None
        return self._json

    def release(self) -> None:
        """Let go of everything that only decoding needs, so that a waiting request holds little memory."""
        self.headers = _NO_HEADERS
        self.body = b""
        self._query = None
        self._json = _UNREAD


def _parsed_query(target: str) -> dict[str, list[str]]:
    _, found, text = target.partition("?")
    if not found or not text:
        return _EMPTY
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        raise InvalidParam("The query is not valid UTF-8 or has too many fields") from None
    query: dict[str, list[str]] = {}
    for name, value in pairs:
        query.setdefault(name, []).append(value)
    return query
