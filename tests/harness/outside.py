"""The outside world in tests: name servers that say what a test wants, and web servers on loopback over real TLS."""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.web.http import HTTPChannel, HTTPFactory, Request
from zope.interface import implementer

from homeserver.app.runtime import ReactorClock
from homeserver.clock import Clock
from homeserver.gateways.addresses import AddressPolicy
from homeserver.gateways.http_client import HttpClient, Manners
from homeserver.gateways.tls import ClientTls
from tests.harness.certificates import Authority, Leaf

reactor: Any = _reactor
LOOPBACK = AddressPolicy(allow=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
AUTHORITY = Authority()


def real_clock() -> Clock:
    """The reactor's clock."""
    return ReactorClock(reactor)


@implementer(IHostnameResolver)
class Names:
    """A resolver that knows the addresses of a test, each an answer or a list of answers given one after the other.

    IP literals resolve to themselves, and decimal ones as the C library has them.
    """

    def __init__(self, **names: str | list[str]) -> None:
        self.names: dict[str, str | list[str]] = {
            key.replace("_", "."): value for key, value in names.items()
        }
        self.asked: list[str] = []

    def resolveHostName(self, receiver: Any, hostName: str, portNumber: int = 0, *_: Any, **__: Any) -> Any:
        self.asked.append(hostName)
        receiver.resolutionBegan(None)
        for text in self._addresses(hostName):
            kind = IPv6Address if isIPv6Address(text) else IPv4Address
            receiver.addressResolved(kind("TCP", text, portNumber))
        receiver.resolutionComplete()

    def _addresses(self, name: str) -> list[str]:
        if isIPAddress(name) or isIPv6Address(name):
            return [name]
        if name.isdigit():
            number = int(name)
            return [".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))]
        answer = self.names.get(name, [])
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else ""
        return [each for each in answer.split(",") if each]


@dataclass(slots=True)
class Seen:
    """One request that a web server got."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass(slots=True)
class Peer:
    """A web server on loopback. `answer` gets the request of twisted.web and answers it."""

    answer: Callable[[Any], None]
    leaf: Leaf | None = None
    seen: list[Seen] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    port: int = 0
    _listening: Any = None
    _channels: list[Any] = field(default_factory=list)

    def start(self, interface: str = "127.0.0.1") -> "Peer":
        """Listen on a port that is free."""
        factory: Any = HTTPFactory(reactor=reactor)
        make_channel: Any = HTTPChannel
        peer = self

        class _Request(Request):
            def process(self) -> None:
                peer.note(self)
                peer.answer(self)

        def channel() -> Any:
            made = make_channel()
            made.requestFactory = _Request
            peer._channels.append(made)
            return made

        factory.protocol = channel
        if self.leaf is None:
            self._listening = reactor.listenTCP(0, factory, interface=interface)
        else:
            self._listening = reactor.listenSSL(0, factory, self._context(self.leaf), interface=interface)
        self.port = self._listening.getHost().port
        return self

    def note(self, request: Any) -> None:
        """Remember a request."""
        headers = {
            name.decode().lower(): values[-1].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        connection = self._channels.index(request.channel) if request.channel in self._channels else -1
        content: Any = request.content
        body = content.read()
        self.seen.append(Seen(request.method.decode(), request.uri.decode(), headers, body, connection))

    async def stop(self) -> None:
        """Stop listening and drop all connections."""
        await maybeDeferred(self._listening.stopListening)
        self.drop_connections()

    def drop_connections(self) -> None:
        """Close every connection at once, as a server does that restarts."""
        for channel in self._channels:
            if channel.transport is not None and channel.transport.connected:
                channel.transport.abortConnection()

    def _context(self, leaf: Leaf) -> Any:
        options: Any = leaf.options()
        options.getContext().set_tlsext_servername_callback(
            lambda connection: self.server_names.append(
                connection.get_servername().decode() if connection.get_servername() else None
            )
        )
        return options


class RawPeer:
    """A TCP server that says what a test makes it say, to whoever connects."""

    def __init__(self, behave: Callable[[Any], None]) -> None:
        peer = self

        class _Protocol(Protocol):
            def dataReceived(self, data: bytes) -> None:
                if not getattr(self, "asked", False):
                    self.asked = True
                    behave(self.transport)

            def connectionMade(self) -> None:
                peer.connections += 1

            def connectionLost(self, reason: Any = None) -> None:
                peer.connections -= 1

        self.connections = 0
        self._listening = reactor.listenTCP(0, Factory.forProtocol(_Protocol), interface="127.0.0.1")
        self.port: int = self._listening.getHost().port

    async def stop(self) -> None:
        """Stop listening."""
        await self._listening.stopListening()


def respond(request: Any, status: int, body: bytes, **headers: str) -> None:
    """Answer a request of twisted.web."""
    request.setResponseCode(status)
    for name, value in headers.items():
        request.setHeader(name.replace("_", "-"), value)
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()


def always(status: int, body: bytes, **headers: str) -> Callable[[Any], None]:
    """An answer that is always the same."""
    return lambda request: respond(request, status, body, **headers)


class Streets:
    """The reactor, with a world of addresses that lead to servers on loopback."""

    def __init__(self) -> None:
        self.houses: dict[tuple[str, int], int] = {}
        self.called: list[tuple[str, int]] = []

    def connectTCP(self, host: str, port: int, *arguments: Any, **named: Any) -> Any:
        """Connect to where the address leads; to nobody where it leads nowhere."""
        self.called.append((host, port))
        return reactor.connectTCP("127.0.0.1", self.houses.get((host, port), 1), *arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


def http_client(
    names: Names | None = None,
    policy: AddressPolicy = LOOPBACK,
    verify: bool = True,
    streets: Streets | None = None,
) -> HttpClient:
    """The outbound client as the server has it, over these names and trusting the tests' authority."""
    return HttpClient(
        streets or reactor,
        names or Names(),
        policy,
        ClientTls(AUTHORITY.pem, verify),
        Manners("Meridian/test"),
    )


async def sleep(seconds: float) -> None:
    """Let the world go on for so many seconds."""
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    await done


async def until(condition: Callable[[], bool]) -> None:
    """Let the world go on until something has come about: 4 seconds at most."""
    for _ in range(400):
        if condition():
            return
        await sleep(0.01)
    raise AssertionError("it did not come about")
