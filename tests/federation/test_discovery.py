"""Server discovery, step by step: where requests arrive, what `Host` they ask for and what certificate they want.

Each server listens on loopback with a real certificate; a map of addresses stands for the Internet.

https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names
"""

from collections.abc import Callable
from ipaddress import ip_network
from itertools import pairwise
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.http_headers import Headers

from federation.client.discovery import Discovery
from federation.client.service_records import ServiceRecord, in_order
from federation.client.well_known import (
    DEFAULT_LIFETIME_S,
    MAX_LIFETIME_S,
    MIN_LIFETIME_S,
    WellKnownFetcher,
    lifetime_s,
)
from homeserver.gateways.addresses import AddressPolicy
from homeserver.gateways.http_client import Answer, NotConnected, OutboundError
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import ServerName
from tests.harness.memory import SeededRandom, SteppingClock
from tests.harness.outside import AUTHORITY, Names, Peer, Streets, always, http_client, reactor, respond

WORLD = AddressPolicy(allow=(ip_network("203.0.113.0/24"), ip_network("2001:db8::/32")))
HOUR = 3600


class World(TestCase):
    """Servers, names and records of a test."""

    timeout = 30

    def setUp(self) -> None:
        self.clock = SteppingClock()
        self.names = Names()
        self.streets = Streets()
        self.records: dict[str, list[ServiceRecord]] = {}
        self.asked_records: list[str] = []
        self.http = http = http_client(self.names, WORLD, streets=self.streets)
        self.addCleanup(lambda: Deferred.fromCoroutine(http.close()))
        self.discovery = self.new_discovery()

    def new_discovery(self, well_known_timeout_s: float = 10.0) -> Discovery:
        fetcher = WellKnownFetcher(self.http, self.clock, well_known_timeout_s)
        return Discovery(fetcher, self.services, self.clock, SeededRandom())

    async def services(self, service: str) -> list[ServiceRecord]:
        self.asked_records.append(service)
        return self.records.get(service, [])

    def server(
        self, address: str, port: int, certificate_for: str, answer: Callable[[Any], None] | None = None
    ) -> Peer:
        made = Peer(answer or always(200, b'{"here":true}'), AUTHORITY.leaf([certificate_for])).start()
        self.streets.houses[address, port] = made.port
        self.addCleanup(lambda: Deferred.fromCoroutine(made.stop()))
        return made

    def well_known(self, host: str, address: str, says: str) -> Peer:
        self.names.names[host] = address
        return self.server(address, 443, host, always(200, b'{"m.server":"%b"}' % says.encode()))

    async def ask(self, server: str) -> Answer:
        target = await self.discovery.target(ServerName(server))
        return await self.http.send(target, "GET", "/_matrix/federation/v1/version", headers={})

    async def assert_reaches(self, server: str, peer: Peer, host: str, sni: str | None) -> None:
        assert (await self.ask(server)).body == b'{"here":true}'
        assert peer.seen[-1].headers["host"] == host
        assert peer.server_names == [sni]


class Steps(World):
    """The steps of the specification, by their numbers."""

    async def test_1_an_ip_literal_is_asked_at_8448(self) -> None:
        peer = self.server("203.0.113.1", 8448, "203.0.113.1")
        await self.assert_reaches("203.0.113.1", peer, "203.0.113.1", None)
        assert self.asked_records == []
        assert self.streets.called == [("203.0.113.1", 8448)]

    async def test_1_an_ip_literal_with_a_port_is_asked_at_the_port(self) -> None:
        peer = self.server("203.0.113.1", 99, "203.0.113.1")
        await self.assert_reaches("203.0.113.1:99", peer, "203.0.113.1:99", None)

    async def test_1_an_ipv6_literal_is_asked_at_8448(self) -> None:
        peer = self.server("2001:db8::5", 8448, "2001:db8::5")
        await self.assert_reaches("[2001:db8::5]", peer, "[2001:db8::5]", None)

    async def test_1_a_certificate_of_a_name_does_not_do_for_an_ip_literal(self) -> None:
        self.server("203.0.113.1", 8448, "alpha.example")
        with pytest.raises(OutboundError):
            await self.ask("203.0.113.1")

    async def test_2_a_name_with_a_port_is_resolved_and_nothing_else(self) -> None:
        self.names.names["alpha.example"] = "203.0.113.2"
        peer = self.server("203.0.113.2", 8000, "alpha.example")
        await self.assert_reaches("alpha.example:8000", peer, "alpha.example:8000", "alpha.example")
        assert self.streets.called == [("203.0.113.2", 8000)]
        assert self.asked_records == []

    async def test_2_port_443_is_not_the_same_server_as_no_port(self) -> None:
        delegated = self.server("203.0.113.9", 8448, "203.0.113.9")
        self.well_known("alpha.example", "203.0.113.2", "203.0.113.9")
        await self.assert_reaches("alpha.example", delegated, "203.0.113.9", None)
        assert (await self.ask("alpha.example:443")).body != b'{"here":true}'

    async def test_3_1_delegation_to_an_ip_literal(self) -> None:
        self.well_known("alpha.example", "203.0.113.2", "203.0.113.3:77")
        peer = self.server("203.0.113.3", 77, "203.0.113.3")
        await self.assert_reaches("alpha.example", peer, "203.0.113.3:77", None)

    async def test_3_2_delegation_to_a_name_with_a_port(self) -> None:
        self.well_known("alpha.example", "203.0.113.2", "beta.example:7000")
        self.names.names["beta.example"] = "203.0.113.4"
        peer = self.server("203.0.113.4", 7000, "beta.example")
        await self.assert_reaches("alpha.example", peer, "beta.example:7000", "beta.example")
        assert self.asked_records == []

    async def test_3_3_delegation_to_a_name_with_a_record(self) -> None:
        self.well_known("alpha.example", "203.0.113.2", "beta.example")
        self.records["_matrix-fed._tcp.beta.example"] = [ServiceRecord("gamma.example", 6000)]
        self.names.names["gamma.example"] = "203.0.113.5"
        peer = self.server("203.0.113.5", 6000, "beta.example")
        await self.assert_reaches("alpha.example", peer, "beta.example", "beta.example")

    async def test_3_4_delegation_to_a_name_with_a_deprecated_record(self) -> None:
        self.well_known("alpha.example", "203.0.113.2", "beta.example")
        self.records["_matrix._tcp.beta.example"] = [ServiceRecord("gamma.example", 6000)]
        self.names.names["gamma.example"] = "203.0.113.5"
        peer = self.server("203.0.113.5", 6000, "beta.example")
        await self.assert_reaches("alpha.example", peer, "beta.example", "beta.example")
        assert self.asked_records == ["_matrix-fed._tcp.beta.example", "_matrix._tcp.beta.example"]

    async def test_3_5_delegation_to_a_name_without_records(self) -> None:
        self.well_known("alpha.example", "203.0.113.2", "beta.example")
        self.names.names["beta.example"] = "203.0.113.4"
        peer = self.server("203.0.113.4", 8448, "beta.example")
        await self.assert_reaches("alpha.example", peer, "beta.example", "beta.example")

    async def test_4_no_delegation_but_a_record(self) -> None:
        self.records["_matrix-fed._tcp.alpha.example"] = [ServiceRecord("gamma.example", 6000)]
        self.names.names["gamma.example"] = "203.0.113.5"
        peer = self.server("203.0.113.5", 6000, "alpha.example")
        await self.assert_reaches("alpha.example", peer, "alpha.example", "alpha.example")

    async def test_4_the_certificate_of_the_records_target_does_not_do(self) -> None:
        self.records["_matrix-fed._tcp.alpha.example"] = [ServiceRecord("gamma.example", 6000)]
        self.names.names["gamma.example"] = "203.0.113.5"
        peer = self.server("203.0.113.5", 6000, "gamma.example")
        with pytest.raises(OutboundError):
            await self.ask("alpha.example")
        assert peer.seen == []

    async def test_5_no_delegation_but_a_deprecated_record(self) -> None:
        self.records["_matrix._tcp.alpha.example"] = [ServiceRecord("gamma.example", 6000)]
        self.names.names["gamma.example"] = "203.0.113.5"
        peer = self.server("203.0.113.5", 6000, "alpha.example")
        await self.assert_reaches("alpha.example", peer, "alpha.example", "alpha.example")

    async def test_6_neither_delegation_nor_record(self) -> None:
        self.names.names["alpha.example"] = "203.0.113.6"
        peer = self.server("203.0.113.6", 8448, "alpha.example")
        await self.assert_reaches("alpha.example", peer, "alpha.example", "alpha.example")

    async def test_the_next_record_is_tried_when_the_first_does_not_take_the_connection(self) -> None:
        self.records["_matrix-fed._tcp.alpha.example"] = [
            ServiceRecord("gone.example", 6000, priority=1),
            ServiceRecord("there.example", 6001, priority=2),
        ]
        self.names.names.update({"gone.example": "203.0.113.7", "there.example": "203.0.113.8"})
        peer = self.server("203.0.113.8", 6001, "alpha.example")
        await self.assert_reaches("alpha.example", peer, "alpha.example", "alpha.example")

    async def test_delegation_is_followed_once_and_no_further(self) -> None:
        self.well_known("alpha.example", "203.0.113.2", "beta.example")
        second = self.well_known("beta.example", "203.0.113.4", "gamma.example")
        peer = self.server("203.0.113.4", 8448, "beta.example")
        await self.assert_reaches("alpha.example", peer, "beta.example", "beta.example")
        assert second.seen == []


class Hostile(World):
    """Files that are not what they should be leave a server where it would be without."""

    async def assert_ignored(
        self, answer: Callable[[Any], None], certificate_for: str = "alpha.example"
    ) -> Peer:
        self.names.names["alpha.example"] = "203.0.113.2"
        file = self.server("203.0.113.2", 443, certificate_for, answer)
        peer = self.server("203.0.113.2", 8448, "alpha.example")
        await self.assert_reaches("alpha.example", peer, "alpha.example", "alpha.example")
        return file

    async def test_a_huge_file(self) -> None:
        await self.assert_ignored(always(200, b'{"m.server":"beta.example","x":"%b"}' % (b"x" * 100_000)))

    async def test_redirects_in_a_circle(self) -> None:
        file = await self.assert_ignored(lambda request: respond(request, 302, b"", Location="/x"))
        assert len(file.seen) <= 6

    async def test_redirects_without_end(self) -> None:
        file = await self.assert_ignored(
            lambda request: respond(request, 302, b"", Location=request.uri.decode() + "x")
        )
        assert len(file.seen) <= 6

    async def test_a_file_that_drips(self) -> None:
        def drip(request: Any) -> None:
            request.setHeader("Content-Length", "100000")
            request.write(b"{")

        self.discovery = self.new_discovery(well_known_timeout_s=0.3)
        started = reactor.seconds()
        await self.assert_ignored(drip)
        assert reactor.seconds() - started < 3

    async def test_a_file_under_a_wrong_certificate(self) -> None:
        answer = always(200, b'{"m.server":"beta.example"}')
        file = await self.assert_ignored(answer, certificate_for="beta.example")
        assert file.seen == []

    async def test_a_redirect_to_a_private_address(self) -> None:
        secret = self.server("10.0.0.1", 443, "10.0.0.1")
        await self.assert_ignored(always(302, b"", Location="https://10.0.0.1/secret"))
        assert secret.seen == []
        assert ("10.0.0.1", 443) not in self.streets.called

    async def test_a_delegation_to_a_private_address_is_not_connected_to(self) -> None:
        self.well_known("alpha.example", "203.0.113.2", "10.0.0.1:80")
        with pytest.raises(NotConnected, match="not allowed"):
            await self.ask("alpha.example")
        assert ("10.0.0.1", 80) not in self.streets.called

    async def test_what_is_no_such_file(self) -> None:
        for status, body in (
            (404, b'{"m.server":"beta.example"}'),
            (500, b""),
            (200, b"nonsense"),
            (200, b'["m.server"]'),
            (200, b"{}"),
            (200, b'{"m.server":5}'),
            (200, b'{"m.server":""}'),
            (200, b'{"m.server":"beta.example:99999"}'),
            (200, b'{"m.server":"https://beta.example/"}'),
            (200, b'{"m.server":"beta.example/evil"}'),
        ):
            self.setUp()
            await self.assert_ignored(always(status, body))

    async def test_a_name_that_no_host_can_have_is_not_reached(self) -> None:
        for name in ("a..b", ".", "-", "x" * 64 + ".example", "..:80", "x" * 255, "xn--zzzzzz---"):
            with pytest.raises(NotConnected):
                await self.ask(name)

    async def test_a_name_that_is_none_is_refused(self) -> None:
        for name in ("", "a/b", "a:99999", "a b", "[::1"):
            with pytest.raises(InvalidParam):
                await self.discovery.target(ServerName(name))


class Remembering(World):
    """How long answers are kept."""

    async def test_a_delegation_is_asked_for_once_a_day(self) -> None:
        file = self.well_known("alpha.example", "203.0.113.2", "beta.example:1")
        for _ in range(3):
            await self.discovery.target(ServerName("alpha.example"))
        assert len(file.seen) == 1
        self.clock.advance(25 * HOUR)
        await self.discovery.target(ServerName("alpha.example"))
        assert len(file.seen) == 2

    async def test_many_who_ask_at_once_make_one_request(self) -> None:
        file = self.well_known("alpha.example", "203.0.113.2", "beta.example:1")
        asking = [
            Deferred.fromCoroutine(self.discovery.target(ServerName("alpha.example"))) for _ in range(5)
        ]
        assert len({(await each).host_header for each in asking}) == 1
        assert len(file.seen) == 1

    async def test_the_file_says_how_long_it_may_be_kept(self) -> None:
        answer = always(200, b'{"m.server":"beta.example:1"}', Cache_Control="public, max-age=600")
        self.names.names["alpha.example"] = "203.0.113.2"
        file = self.server("203.0.113.2", 443, "alpha.example", answer)
        await self.discovery.target(ServerName("alpha.example"))
        self.clock.advance(500)
        await self.discovery.target(ServerName("alpha.example"))
        assert len(file.seen) == 1
        self.clock.advance(101)
        await self.discovery.target(ServerName("alpha.example"))
        assert len(file.seen) == 2

    async def test_an_error_is_asked_again_sooner_and_then_less_and_less(self) -> None:
        self.names.names["alpha.example"] = "203.0.113.2"
        file = self.server("203.0.113.2", 443, "alpha.example", always(404, b""))
        asked_after: list[int] = []
        for minute in range(1, 60):
            await self.discovery.target(ServerName("alpha.example"))
            if len(file.seen) > len(asked_after):
                asked_after.append(minute)
            self.clock.advance(60)
        gaps = [later - sooner for sooner, later in pairwise(asked_after)]
        assert gaps == sorted(gaps)
        assert gaps[0] == 1
        assert len(asked_after) <= 7

    async def test_a_delegation_outlives_an_error_of_its_file(self) -> None:
        answers = [always(200, b'{"m.server":"beta.example:1"}'), always(502, b"")]

        def in_turn(request: Any) -> None:
            answers.pop(0)(request)

        self.names.names["alpha.example"] = "203.0.113.2"
        self.server("203.0.113.2", 443, "alpha.example", in_turn)
        before = await self.discovery.target(ServerName("alpha.example"))
        self.clock.advance(25 * HOUR)
        assert await self.discovery.target(ServerName("alpha.example")) == before
        assert answers == []

    async def test_a_server_that_cannot_be_reached_is_looked_for_anew(self) -> None:
        file = self.well_known("alpha.example", "203.0.113.2", "beta.example:1")
        await self.discovery.target(ServerName("alpha.example"))
        self.discovery.forget(ServerName("alpha.example"))
        await self.discovery.target(ServerName("alpha.example"))
        assert len(file.seen) == 1, "it has only just been asked"
        self.clock.advance(MIN_LIFETIME_S + 1)
        self.discovery.forget(ServerName("alpha.example"))
        await self.discovery.target(ServerName("alpha.example"))
        assert len(file.seen) == 2


def _lifetime(**headers: str) -> float:
    raw = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
    return lifetime_s(Answer(200, raw, b""), now_ms=1_700_000_000_000)


def test_lifetimes_follow_the_headers_within_bounds() -> None:
    assert _lifetime() == DEFAULT_LIFETIME_S
    assert _lifetime(Cache_Control="max-age=3600") == 3600
    assert _lifetime(Cache_Control="max-age=0") == MIN_LIFETIME_S
    assert _lifetime(Cache_Control="max-age=999999999") == MAX_LIFETIME_S
    assert _lifetime(Cache_Control="no-store") == MIN_LIFETIME_S
    assert _lifetime(Cache_Control="s-maxage=5, public") == DEFAULT_LIFETIME_S
    assert _lifetime(Expires="Tue, 14 Nov 2023 23:13:20 GMT") == HOUR
    assert _lifetime(Expires="0") == MIN_LIFETIME_S
    assert _lifetime(Expires="nonsense") == MIN_LIFETIME_S


def test_records_are_tried_by_priority_and_in_proportion_to_weight() -> None:
    random = SeededRandom(3)
    records = [
        ServiceRecord("backup", 1, priority=20, weight=100),
        ServiceRecord("heavy", 1, priority=10, weight=90),
        ServiceRecord("light", 1, priority=10, weight=10),
        ServiceRecord("never", 1, priority=10, weight=0),
    ]
    orders = [[record.host for record in in_order(records, random)] for _ in range(1000)]
    assert all(order[-1] == "backup" for order in orders)
    heavy_first = sum(order[0] == "heavy" for order in orders)
    assert 850 < heavy_first < 950
    assert all(order[2] == "never" for order in orders)
