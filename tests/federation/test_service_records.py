"""SRV records, from a real name server on loopback."""

# mypy: allow-untyped-calls
# Twisted's name server has no annotations.

from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.names import dns, error
from twisted.names.common import ResolverBase
from twisted.names.server import DNSServerFactory
from twisted.trial.unittest import TestCase

from federation.client.service_records import ServiceRecord, dns_lookup
from tests.harness.outside import reactor

SERVICE = "_matrix-fed._tcp.alpha.example"


class Zone(ResolverBase):
    """Knows the records of one service; says of every other name that there is none."""

    def __init__(self, *records: tuple[str, int, int, int, int]) -> None:
        super().__init__()
        self._records = records

    def _lookup(self, name: bytes, _class: int, kind: int, _timeout: Any) -> Any:
        if name.decode() != SERVICE or kind != dns.SRV:
            return maybeDeferred(self._none)
        record: Any = dns.Record_SRV
        answers = [
            dns.RRHeader(SERVICE, dns.SRV, dns.IN, ttl, record(priority, weight, port, host, ttl))
            for host, port, priority, weight, ttl in self._records
        ]
        return maybeDeferred(lambda: (answers, [], []))

    def _none(self) -> Any:
        raise error.DomainError("no such name")


class Lookup(TestCase):
    """What becomes of the answers."""

    timeout = 20

    def serve(self, *records: tuple[str, int, int, int, int]) -> tuple[str, int]:
        factory: Any = DNSServerFactory
        listening: Any = reactor.listenUDP(
            0, dns.DNSDatagramProtocol(factory(clients=[Zone(*records)])), interface="127.0.0.1"
        )
        self.addCleanup(listening.stopListening)
        return "127.0.0.1", listening.getHost().port

    async def test_records_are_read(self) -> None:
        server = self.serve(("one.example", 8448, 10, 5, 300), ("two.example", 443, 20, 0, 999_999))
        records = await dns_lookup(reactor, [server])(SERVICE)
        assert sorted(records, key=lambda record: record.host) == [
            ServiceRecord("one.example", 8448, 10, 5, 300),
            ServiceRecord("two.example", 443, 20, 0, 3600),
        ]

    async def test_a_target_of_a_dot_means_that_there_is_none(self) -> None:
        assert await dns_lookup(reactor, [self.serve(("", 0, 0, 0, 300))])(SERVICE) == []

    async def test_a_target_that_is_no_host_name_is_left_out(self) -> None:
        server = self.serve(("a/b", 1, 0, 0, 300), ("a b", 1, 0, 0, 300), ("fine.example", 1, 0, 0, 1))
        assert await dns_lookup(reactor, [server])(SERVICE) == [ServiceRecord("fine.example", 1, 0, 0, 60)]

    async def test_a_name_without_records_has_none(self) -> None:
        assert await dns_lookup(reactor, [self.serve()])("_matrix-fed._tcp.beta.example") == []

    async def test_a_name_server_that_is_silent_counts_as_no_records(self) -> None:
        started = reactor.seconds()
        assert await dns_lookup(reactor, [("127.0.0.1", 9)])(SERVICE) == []
        assert reactor.seconds() - started < 6
