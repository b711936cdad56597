"""Opening connections to the outside: resolve, check every address, connect to the checked address and no other.

The name is resolved once a connection and what was checked is what is connected to, so an answer that changes between
check and use (DNS rebinding) gains nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IHostnameResolver,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

from homeserver.gateways.addresses import AddressPolicy
from homeserver.gateways.tls import ClientTls

MAX_HEADER_BYTES = 128 * 1024
CONNECT_TIMEOUT_S = 10.0


class AddressForbidden(Exception):
    """The name leads to addresses that this server does not connect to."""


@dataclass(frozen=True, slots=True)
class Place:
    """A host (name or IP address, no brackets) and a port to connect to; `tls_name` is what its certificate must
    bear.
    """

    host: str
    port: int
    tls_name: str | None


class Connector:
    """Makes endpoints for places, under one policy of addresses."""

    def __init__(
        self,
        reactor: Any,
        resolver: Any,
        policy: AddressPolicy,
        tls: ClientTls,
        timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self._reactor = reactor
        self._resolver = resolver
        self._policy = policy
        self._tls = tls
        self._timeout_s = timeout_s

    def endpoint(self, places: Sequence[Place]) -> Any:
        """Return an endpoint that connects to the first of the places that takes the connection."""
        return _FirstOf(self, tuple(places))

    async def connect(self, places: Sequence[Place], factory: Any) -> Any:
        """Connect; raises AddressForbidden, or what the last place failed with."""
        for place in places[:-1]:
            try:
                return await self._connect_one(place, factory)
            except Exception:  # whatever is wrong with this one, the next may be well
                continue
        return await self._connect_one(places[-1], factory)

    async def _connect_one(self, place: Place, factory: Any) -> Any:
        gate = _Gate(self._reactor, self._resolver, self._policy)
        endpoint: Any = HostnameEndpoint(gate, place.host, place.port, timeout=self._timeout_s)
        if place.tls_name is not None:
            endpoint = wrapClientTLS(self._tls.expecting(place.tls_name), endpoint)
        try:
            guard: Any = await endpoint.connect(_GuardFactory(factory))
        except Exception as error:
            if gate.refused:
                raise AddressForbidden(
                    f"{place.host} has an address of a network that is not allowed"
                ) from error
            raise
        return guard.wrappedProtocol


@implementer(IStreamClientEndpoint)
class _FirstOf:
    def __init__(self, connector: Connector, places: tuple[Place, ...]) -> None:
        self._connector = connector
        self._places = places

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect as a coroutine."""
        return Deferred.fromCoroutine(self._connector.connect(self._places, protocolFactory))


@implementer(IReactorPluggableNameResolver, IReactorTCP, IReactorTime)
class _Gate:
    """The reactor as one connection sees it: its name resolver lets only allowed addresses through."""

    def __init__(self, reactor: Any, resolver: Any, policy: AddressPolicy) -> None:
        self._reactor = reactor
        self._policy = policy
        self.refused = False
        self.nameResolver = _CheckedResolver(resolver, self)

    def installNameResolver(self, resolver: Any) -> Any:
        """The interface has it; nobody may."""
        raise TypeError("the resolver behind the address checks stays")

    def allows(self, address: Any) -> bool:
        """Judge an address, and remember when one was refused."""
        allowed = self._policy.allows(getattr(address, "host", ""))
        self.refused = self.refused or not allowed
        return allowed

    def connectTCP(self, host: str, port: int, *arguments: Any, **named: Any) -> Any:
        """Connect, if this is an address and one that is allowed: the last check before the socket."""
        if not self._policy.allows(host):
            raise AddressForbidden(f"{host} is not an allowed address")
        return self._reactor.connectTCP(host, port, *arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IHostnameResolver)
class _CheckedResolver:
    def __init__(self, resolver: Any, gate: _Gate) -> None:
        self._resolver = resolver
        self._gate = gate

    def resolveHostName(self, resolutionReceiver: Any, *arguments: Any, **named: Any) -> Any:
        """Resolve as the wrapped resolver does, dropping what is not allowed."""
        return self._resolver.resolveHostName(
            _CheckedReceiver(resolutionReceiver, self._gate), *arguments, **named
        )


@implementer(IResolutionReceiver)
class _CheckedReceiver:
    def __init__(self, receiver: Any, gate: _Gate) -> None:
        self._receiver = receiver
        self._gate = gate

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        """Pass on."""
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:
        """Pass on, if allowed."""
        if self._gate.allows(address):
            self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        """Pass on."""
        self._receiver.resolutionComplete()


class _Guard(ProtocolWrapper):
    """Between a connection and HTTP: bounds the head of a response, and stops hard where HTTP would stop gently."""

    transport: Any

    def makeConnection(self, transport: Any) -> None:
        """Begin."""
        self._head = 0
        super().makeConnection(transport)

    def writeSequence(self, data: Any) -> None:
        """A request goes out: its response's head is still to come."""
        self._head = 0
        super().writeSequence(data)

    def resumeProducing(self) -> None:
        """The head is complete and somebody reads the body, with a limit of their own."""
        self._head = -(1 << 62)
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Drop the connection at once: a peer that never ends its answer would not answer a farewell either."""
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Pass on, unless the head has grown absurd."""
        self._head += len(data)
        if self._head > MAX_HEADER_BYTES:
            self.transport.abortConnection()
        else:
            super().dataReceived(data)


class _GuardFactory(WrappingFactory):
    protocol = _Guard
    noisy = False

    def registerProtocol(self, protocol: Any) -> None:
        """Keep no list: a factory serves one connection."""

    def unregisterProtocol(self, protocol: Any) -> None:
        """Nothing was kept."""
