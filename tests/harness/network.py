"""A network without sockets, on a test's clock: it delays, loses requests, loses answers, and is cut.

Every process has a `Machine`: its share of the clock and its way to the others. Killing the machine ends the process
between two calls, as `kill -9` does: what it had planned does not happen, and whoever was connected to it notices.
"""

# mypy: allow-untyped-calls
# Twisted's transports have no annotations.

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost, TimeoutError
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from homeserver.app.runtime import sleeping
from homeserver.clock import Timer
from tests.harness.memory import SteppingClock

QUICK_S = 0.002


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is: the shares of requests and of answers that are lost, and the longest delay of a piece.

    Of what is lost, half is lost in silence, so that only the patience of who waits ends it.
    """

    requests_lost: float = 0.0
    answers_lost: float = 0.0
    delay_s: float = 0.0


FAIR = Weather()


class Network:
    """Which machine has which address, and which ways are cut. Chance is by way, so that each has its own history."""

    def __init__(self, clock: SteppingClock, seed: int) -> None:
        self.clock = clock
        self.weather = FAIR
        self.cut: set[tuple[str, str]] = set()
        self.requests = 0
        self.lost = 0
        self._seed = seed
        self._ways: dict[tuple[str, str], random.Random] = {}
        self._machines: dict[str, Machine] = {}
        self._wires: set[_Wire] = set()

    def machine(self, address: str) -> "Machine":
        """A process that is reached at an address, in place of the one before."""
        made = self._machines[address] = Machine(self, address)
        return made

    def cut_way(self, source: str, target: str) -> None:
        """Nothing that was asked for at ``source`` passes to ``target`` and back; what is open falls silent."""
        self.cut.add((source, target))
        for wire in self._wires:
            if wire.way == (source, target):
                wire.silent = True

    def heal(self) -> None:
        """All ways are open, and nothing is lost any more."""
        self.cut.clear()
        self.weather = FAIR

    def chance(self, way: tuple[str, str]) -> random.Random:
        """The chance of one way."""
        if way not in self._ways:
            self._ways[way] = random.Random(f"{self._seed} {way}")
        return self._ways[way]

    def delay(self, way: tuple[str, str]) -> float:
        """How long a piece takes."""
        return QUICK_S + self.chance(way).random() * self.weather.delay_s

    def at(self, address: str) -> "Machine | None":
        """Who is to be reached there."""
        machine = self._machines.get(address)
        return machine if machine is not None and machine.alive and machine.site is not None else None

    def opened(self, wire: "_Wire") -> None:
        """There is a new connection."""
        self._wires.add(wire)

    def closed(self, wire: "_Wire") -> None:
        """It is no more."""
        self._wires.discard(wire)

    def ended(self, machine: "Machine") -> None:
        """A machine's connections are lost to the others."""
        for wire in [wire for wire in self._wires if machine in wire.machines]:
            wire.lose()


class Machine:
    """Time and connections of one process: its clock and its reactor."""

    def __init__(self, network: Network, address: str) -> None:
        self.network = network
        self.address = address
        self.alive = True
        self.site: Any = None

    def kill(self) -> None:
        """Nothing more happens here."""
        self.alive = False
        self.network.ended(self)

    def listen(self, site: Any) -> None:
        """Answer by this site; None: no more."""
        self.site = site

    def now_ms(self) -> int:
        return self.network.clock.now_ms()

    def seconds(self) -> float:
        return self.network.clock.seconds()

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: object) -> Timer:
        return self.network.clock.call_later(max(0.0, seconds), self._call, function, arguments, {})

    def callLater(
        self, seconds: float, function: Callable[..., object], *arguments: Any, **named: Any
    ) -> Timer:
        return self.network.clock.call_later(max(0.0, seconds), self._call, function, arguments, named)

    async def sleep(self, seconds: float) -> None:
        await sleeping(self, seconds)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> "_Connecting":
        """Connect to whoever is at the address."""
        return _Connecting(self, host, factory, timeout)

    def _call(self, function: Callable[..., object], arguments: Any, named: Any) -> None:
        if self.alive:
            function(*arguments, **named)


class _Connecting:
    """An attempt to connect."""

    def __init__(self, machine: Machine, host: str, factory: Any, timeout: float) -> None:
        self._machine = machine
        self._factory = factory
        self._way = (machine.address, host)
        self._over = False
        self._host = host
        factory.doStart()
        factory.startedConnecting(self)
        network = machine.network
        if self._way in network.cut:
            machine.callLater(timeout, self._fail, TimeoutError())
        else:
            machine.callLater(network.delay(self._way), self._connect)

    def stopConnecting(self) -> None:
        """Give up."""
        self._fail(ConnectError())

    def _fail(self, error: Exception) -> None:
        if not self._over:
            self._over = True
            self._factory.clientConnectionFailed(self, Failure(error))
            self._factory.doStop()

    def _connect(self) -> None:
        other = self._machine.network.at(self._host)
        channel = None if other is None else other.site.buildProtocol(_address(self._machine.address))
        if other is None or channel is None:
            self._fail(ConnectError())
        elif not self._over:
            self._over = True
            protocol = self._factory.buildProtocol(_address(self._host))
            wire = _Wire(self._machine, other)
            wire.open(protocol, channel)


class _Wire:
    """A connection: two ends, and what becomes of the request that is on it."""

    def __init__(self, client: Machine, server: Machine) -> None:
        self.machines = (client, server)
        self.network = client.network
        self.way = (client.address, server.address)
        self.silent = False
        self.is_lost = False
        self._asking = False
        self._loses_answer = False
        self.client = _End(self, client, server.address)
        self.server = _End(self, server, client.address)
        self.network.opened(self)

    def open(self, protocol: Any, channel: Any) -> None:
        """Tell both."""
        self.server.begin(channel)
        self.client.begin(protocol)

    def other(self, end: "_End") -> "_End":
        """The end that is not this one."""
        return self.server if end is self.client else self.client

    def carry(self, end: "_End", data: bytes) -> None:
        """Take bytes to the other end, if all goes well."""
        if end is self.client and not self._asking:
            self._asking = True
            self._decide()
        elif end is self.server:
            self._asking = False
            if self._loses_answer:
                self.network.lost += 1
                self._fall()
        if not self.silent and not self.is_lost:
            self.other(end).expect(data, self.network.delay(self.way))

    def lose(self) -> None:
        """It breaks: both notice, unless it has fallen silent."""
        if not self.is_lost:
            self.is_lost = True
            self.network.closed(self)
            if not self.silent:
                self.client.end(ConnectionLost())
                self.server.end(ConnectionLost())

    def closed_by(self, end: "_End", reason: Exception) -> None:
        """One end closes: the other hears of it after what was sent before."""
        self.network.closed(self)
        if not self.silent:
            self.other(end).expect(reason, self.network.delay(self.way))

    def _decide(self) -> None:
        weather, chance = self.network.weather, self.network.chance(self.way)
        self.network.requests += 1
        self._loses_answer = chance.random() < weather.answers_lost
        if chance.random() < weather.requests_lost:
            self.network.lost += 1
            self._fall()

    def _fall(self) -> None:
        if self.network.chance(self.way).random() < 0.5:
            self.silent = True
        else:
            self.lose()


@implementer(ITCPTransport, IConsumer, IPushProducer)
class _End:
    """One end: the transport of a protocol. What arrives keeps its order, whatever delay each piece has."""

    def __init__(self, wire: _Wire, machine: Machine, peer: str) -> None:
        self._wire = wire
        self._machine = machine
        self._peer = _address(peer)
        self._protocol: Any = None
        self._arrives = 0.0
        self._paused = False
        self._held: list[bytes | Exception] = []
        self.connected = True
        self.disconnecting = False
        self.producer: Any = None

    def begin(self, protocol: Any) -> None:
        """The connection is there."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def expect(self, piece: bytes | Exception, delay: float) -> None:
        """Something is on its way."""
        now = self._machine.seconds()
        self._arrives = max(self._arrives, now + delay)
        self._machine.callLater(self._arrives - now, self._arrive, piece)

    def end(self, reason: Exception) -> None:
        """The connection breaks, at once but not while somebody writes to it."""
        self._machine.callLater(0, self._lose, reason)

    def _arrive(self, piece: bytes | Exception) -> None:
        if self._paused:
            self._held.append(piece)
        elif isinstance(piece, bytes):
            if self.connected:
                self._protocol.dataReceived(piece)
        else:
            self._lose(piece)

    def _lose(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            self._wire.network.closed(self._wire)
            self._protocol.connectionLost(Failure(reason))

    def write(self, data: bytes) -> None:
        if self.connected and not self.disconnecting:
            self._wire.carry(self, data)

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._wire.closed_by(self, ConnectionDone())
            self.end(ConnectionDone())

    def abortConnection(self) -> None:
        if self.connected:
            self.disconnecting = True
            self._wire.closed_by(self, ConnectionLost())
            self.end(ConnectionLost())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        if self._paused:
            self._paused = False
            self._machine.callLater(0, self._release)

    def stopProducing(self) -> None:
        self.loseConnection()

    def _release(self) -> None:
        while self._held and not self._paused:
            self._arrive(self._held.pop(0))

    def getPeer(self) -> IPv4Address:
        return self._peer

    def getHost(self) -> IPv4Address:
        return _address(self._machine.address)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is nothing to delay."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """There is nothing to keep alive."""

    def getTcpNoDelay(self) -> bool:
        return True

    def getTcpKeepAlive(self) -> bool:
        return True

    def loseWriteConnection(self) -> None:
        self.loseConnection()


def _address(host: str) -> IPv4Address:
    return IPv4Address("TCP", host, 8448)
