"""Listens in on a server's connections, and checks both sides of every exchange against the specification.

What is wrong is noted, not raised: nobody would hear it inside of a connection. Requests that tests make up are not
looked at (they may be as wrong as they like), but the answers to them are.
"""

# mypy: allow-untyped-calls
# Twisted's wrappers have no annotations.

from collections import deque
from typing import Any, NamedTuple

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.protocols.policies import ProtocolWrapper

from tests.harness import conformance
from tests.harness.client import parse_reply

MADE_UP = "Meridian/test"
"""The user agent of requests by tests."""


class Asked(NamedTuple):
    """A request as it went over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Wiretap(ServerFactory):
    """A factory of connections that are listened to, in place of a site."""

    noisy = False

    def __init__(self, site: ServerFactory) -> None:
        self._site = site

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """The site's protocol, with a tap on it."""
        tap: Any = _Tap
        channel = self._site.buildProtocol(addr)
        return None if channel is None else tap(self, channel)

    def registerProtocol(self, tap: Protocol) -> None:
        """A connection begins: the site counts them."""

    def unregisterProtocol(self, tap: Protocol) -> None:
        """It has ended."""


class _Tap(ProtocolWrapper):
    """One connection."""

    def __init__(self, factory: Any, channel: Any) -> None:
        super().__init__(factory, channel)
        self._incoming = b""
        self._outgoing = b""
        self._open: deque[Asked] = deque()

    def dataReceived(self, data: bytes) -> None:
        self._incoming += data
        while (parsed := _request(self._incoming)) is not None:
            asked, self._incoming = parsed
            self._open.append(asked)
            if asked.headers.get("user-agent") != MADE_UP:
                conformance.notice(
                    conformance.check_request, conformance.Request(asked.method, asked.target, asked.body)
                )
        super().dataReceived(data)

    def write(self, data: bytes) -> None:
        self._outgoing += data
        while (
            self._open and (parsed := parse_reply(self._outgoing, self._open[0].method == "HEAD")) is not None
        ):
            reply, self._outgoing = parsed
            asked = self._open.popleft()
            kind = reply.headers.get("content-type", "")
            answer = conformance.Answer(asked.method, asked.target, reply.status, kind, reply.body)
            conformance.notice(conformance.check, answer)
        super().write(data)

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))


def _request(data: bytes) -> tuple[Asked, bytes] | None:
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    length = int(headers.get("content-length", "0"))
    return None if len(rest) < length else (Asked(method, target, headers, rest[:length]), rest[length:])
