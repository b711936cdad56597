"""What the one outbound client connects to, how much it takes, and how it treats connections."""

from ipaddress import ip_network
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from homeserver.gateways.addresses import AddressPolicy
from homeserver.gateways.http_client import (
    AnswerTooLarge,
    HttpClient,
    Limits,
    NoAnswer,
    NotConnected,
    OutboundError,
    TooManyRedirects,
)
from tests.harness.certificates import Authority
from tests.harness.outside import (
    AUTHORITY,
    LOOPBACK,
    Names,
    Peer,
    RawPeer,
    always,
    http_client,
    reactor,
    respond,
    sleep,
    until,
)

OK = always(200, b"{}")
PUBLIC_ONLY = AddressPolicy()
ONE_ADDRESS = (ip_network("127.0.0.1"),)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "0:0:0:0:0:ffff:7f00:1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "::127.0.0.1",
        "localhost",
        "",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not PUBLIC_ONLY.allows(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "172.32.0.1", "11.0.0.1"]
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert PUBLIC_ONLY.allows(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.9", "::ffff:127.0.0.1", "::1"])
def test_a_network_that_the_operator_allows_is_allowed_in_every_spelling(address: str) -> None:
    assert LOOPBACK.allows(address)
    assert not LOOPBACK.allows("10.0.0.1")


class Outbound(TestCase):
    """With real servers on loopback."""

    timeout = 20

    def client(self, *arguments: Any, **named: Any) -> HttpClient:
        made = http_client(*arguments, **named)
        self.addCleanup(lambda: Deferred.fromCoroutine(made.close()))
        return made

    def peer(self, answer: Any = OK, names: list[str] | None = None) -> Peer:
        made = Peer(answer, AUTHORITY.leaf(names) if names else None).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(made.stop()))
        return made

    def raw(self, behave: Any) -> RawPeer:
        made = RawPeer(behave)
        self.addCleanup(lambda: Deferred.fromCoroutine(made.stop()))
        return made

    # Where it connects to.

    async def test_a_private_address_is_not_connected_to(self) -> None:
        peer = self.peer()
        with pytest.raises(NotConnected, match="not allowed"):
            await self.client(policy=PUBLIC_ONLY).request("GET", f"http://127.0.0.1:{peer.port}/")
        assert peer.seen == []

    async def test_a_name_of_a_private_address_is_not_connected_to(self) -> None:
        peer = self.peer()
        client = self.client(Names(inner_example="127.0.0.1"), policy=PUBLIC_ONLY)
        with pytest.raises(NotConnected, match="not allowed"):
            await client.request("GET", f"http://inner.example:{peer.port}/")
        assert peer.seen == []

    async def test_an_address_written_as_one_number_is_judged_as_what_it_is(self) -> None:
        peer = self.peer()
        with pytest.raises(NotConnected, match="not allowed"):
            await self.client(policy=PUBLIC_ONLY).request("GET", f"http://2130706433:{peer.port}/")
        assert peer.seen == []

    async def test_a_mapped_ipv6_address_is_judged_by_the_ipv4_address_in_it(self) -> None:
        peer = self.peer()
        with pytest.raises(NotConnected, match="not allowed"):
            await self.client(policy=PUBLIC_ONLY).request("GET", f"http://[::ffff:127.0.0.1]:{peer.port}/")
        assert peer.seen == []

    async def test_a_private_address_among_public_ones_is_left_out(self) -> None:
        peer = self.peer()
        allowed, refused = "127.0.0.1", "127.9.9.9"
        policy = AddressPolicy(allow=ONE_ADDRESS, deny=LOOPBACK.allow)
        client = self.client(Names(two_example=f"{refused},{allowed}"), policy=policy)
        assert (await client.request("GET", f"http://two.example:{peer.port}/")).status == 200

    async def test_a_name_that_changes_its_address_after_the_check_gains_nothing(self) -> None:
        peer = self.peer()
        policy = AddressPolicy(allow=ONE_ADDRESS, deny=LOOPBACK.allow)
        names = Names(rebinding_example=["127.0.0.1", "127.9.9.9", "127.9.9.9"])
        client = self.client(names, policy=policy)
        assert (await client.request("GET", f"http://rebinding.example:{peer.port}/")).status == 200
        assert names.asked == ["rebinding.example"], "what was checked is what was connected to"
        peer.drop_connections()
        with pytest.raises(NotConnected, match="not allowed"):
            await self.client(names, policy=policy).request("GET", f"http://rebinding.example:{peer.port}/")

    async def test_a_redirect_to_a_private_address_is_not_followed(self) -> None:
        inner = self.peer()
        policy = AddressPolicy(allow=ONE_ADDRESS, deny=LOOPBACK.allow)
        outer = self.peer(always(302, b"", Location=f"http://127.9.9.9:{inner.port}/secret"))
        with pytest.raises(NotConnected, match="not allowed"):
            await self.client(policy=policy).request(
                "GET", f"http://127.0.0.1:{outer.port}/", limits=Limits(redirects=3)
            )
        assert inner.seen == []

    async def test_a_url_of_another_kind_is_not_asked(self) -> None:
        for url in (
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "http://",
            "http:///x",
            "http://a b/",
            "http://x\n/",
        ):
            with pytest.raises(NotConnected):
                await self.client().request("GET", url)

    async def test_a_downgrade_by_redirect_is_refused_where_https_is_demanded(self) -> None:
        peer = self.peer(
            lambda r: respond(r, 302, b"", Location=f"http://localhost:{plain.port}/"), ["localhost"]
        )
        plain: Peer = self.peer()
        client = self.client(Names(localhost="127.0.0.1"))
        with pytest.raises(NotConnected):
            await client.request(
                "GET", f"https://localhost:{peer.port}/", limits=Limits(redirects=3, https_only=True)
            )
        assert plain.seen == []

    # Whom it believes.

    async def test_a_certificate_of_the_right_name_and_authority_is_accepted(self) -> None:
        peer = self.peer(names=["alpha.example"])
        client = self.client(Names(alpha_example="127.0.0.1"))
        assert (await client.request("GET", f"https://alpha.example:{peer.port}/")).status == 200
        assert peer.server_names == ["alpha.example"]

    async def test_a_certificate_of_an_address_is_accepted_and_no_server_name_is_sent(self) -> None:
        peer = self.peer(names=["127.0.0.1"])
        assert (await self.client().request("GET", f"https://127.0.0.1:{peer.port}/")).status == 200
        assert peer.server_names == [None]

    async def test_a_certificate_of_another_name_is_refused(self) -> None:
        peer = self.peer(names=["beta.example"])
        client = self.client(Names(alpha_example="127.0.0.1"))
        with pytest.raises(OutboundError):
            await client.request("GET", f"https://alpha.example:{peer.port}/")
        assert peer.seen == []

    async def test_a_certificate_of_an_unknown_authority_is_refused(self) -> None:
        peer = Peer(always(200, b"{}"), Authority("stranger").leaf(["alpha.example"])).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(peer.stop()))
        client = self.client(Names(alpha_example="127.0.0.1"))
        with pytest.raises(OutboundError):
            await client.request("GET", f"https://alpha.example:{peer.port}/")
        assert peer.seen == []

    async def test_any_certificate_is_accepted_when_the_operator_says_so(self) -> None:
        peer = self.peer(names=["beta.example"])
        client = self.client(Names(alpha_example="127.0.0.1"), verify=False)
        assert (await client.request("GET", f"https://alpha.example:{peer.port}/")).status == 200

    # How much it takes.

    async def test_a_body_that_announces_too_much_is_refused(self) -> None:
        peer = self.peer(always(200, b"x" * 2000))
        with pytest.raises(AnswerTooLarge):
            await self.client().request(
                "GET", f"http://127.0.0.1:{peer.port}/", limits=Limits(max_bytes=1999)
            )
        answer = await self.client().request(
            "GET", f"http://127.0.0.1:{peer.port}/", limits=Limits(max_bytes=2000)
        )
        assert len(answer.body) == 2000

    async def test_a_body_without_end_is_cut_and_its_connection_closed(self) -> None:
        def endless(transport: Any) -> None:
            transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            pump(transport)

        def pump(transport: Any) -> None:
            if transport.connected:
                transport.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                reactor.callLater(0, pump, transport)

        peer = self.raw(endless)
        with pytest.raises(AnswerTooLarge):
            await self.client().request(
                "GET", f"http://127.0.0.1:{peer.port}/", limits=Limits(max_bytes=100_000)
            )
        await gone(peer)

    async def test_a_head_without_end_is_cut(self) -> None:
        def endless(transport: Any) -> None:
            transport.write(b"HTTP/1.1 200 OK\r\n")
            pump(transport)

        def pump(transport: Any) -> None:
            if transport.connected:
                transport.write(b"X-More: " + b"x" * 4096 + b"\r\n")
                reactor.callLater(0, pump, transport)

        peer = self.raw(endless)
        with pytest.raises(OutboundError):
            await self.client().request("POST", f"http://127.0.0.1:{peer.port}/", limits=Limits(seconds=15))
        await gone(peer)

    async def test_an_answer_that_drips_is_given_up_in_time_and_its_connection_closed(self) -> None:
        def drip(transport: Any) -> None:
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            tick(transport)

        def tick(transport: Any) -> None:
            if transport.connected:
                transport.write(b"x")
                reactor.callLater(0.05, tick, transport)

        peer = self.raw(drip)
        started = reactor.seconds()
        with pytest.raises(NoAnswer, match="within"):
            await self.client().request("GET", f"http://127.0.0.1:{peer.port}/", limits=Limits(seconds=0.5))
        assert reactor.seconds() - started < 2
        await gone(peer)

    async def test_silence_is_given_up_in_time(self) -> None:
        peer = self.raw(lambda transport: None)
        with pytest.raises(NoAnswer, match="within"):
            await self.client().request("GET", f"http://127.0.0.1:{peer.port}/", limits=Limits(seconds=0.3))
        await gone(peer)

    async def test_a_cut_body_is_not_taken_for_a_whole_one(self) -> None:
        def cut(transport: Any) -> None:
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            transport.loseConnection()

        peer = self.raw(cut)
        with pytest.raises(NoAnswer):
            await self.client().request("GET", f"http://127.0.0.1:{peer.port}/")

    async def test_redirects_in_a_circle_end(self) -> None:
        peer = self.peer(lambda request: respond(request, 302, b"", Location="/again"))
        with pytest.raises(TooManyRedirects):
            await self.client().request("GET", f"http://127.0.0.1:{peer.port}/", limits=Limits(redirects=5))
        assert len(peer.seen) <= 6

    async def test_one_redirect_more_than_allowed_is_an_error(self) -> None:
        peer = self.peer(lambda request: respond(request, 302, b"", Location=request.uri.decode() + "x"))
        with pytest.raises(TooManyRedirects):
            await self.client().request("GET", f"http://127.0.0.1:{peer.port}/", limits=Limits(redirects=3))
        assert len(peer.seen) == 4

    async def test_credentials_do_not_follow_a_redirect_to_another_host(self) -> None:
        other = self.peer()
        peer = self.peer(lambda r: respond(r, 307, b"", Location=f"http://localhost:{other.port}/x"))
        client = self.client(Names(localhost="127.0.0.1"))
        await client.request(
            "GET",
            f"http://127.0.0.1:{peer.port}/",
            headers={"Authorization": "Bearer secret", "Accept": "text/html"},
            limits=Limits(redirects=1),
        )
        assert "authorization" not in other.seen[0].headers
        assert other.seen[0].headers["accept"] == "text/html"

    # How it treats connections.

    async def test_a_connection_is_kept_and_used_again(self) -> None:
        peer = self.peer(names=["127.0.0.1"])
        client = self.client()
        for _ in range(3):
            await client.request("PUT", f"https://127.0.0.1:{peer.port}/", body=b"{}")
        assert {each.connection for each in peer.seen} == {0}

    async def test_a_kept_connection_that_the_server_closed_is_replaced(self) -> None:
        peer = self.peer(names=["127.0.0.1"])
        client = self.client()
        await client.request("PUT", f"https://127.0.0.1:{peer.port}/", body=b"{}")
        peer.drop_connections()
        answer = await client.request("PUT", f"https://127.0.0.1:{peer.port}/", body=b'{"second":1}')
        assert answer.status == 200
        assert peer.seen[-1].body == b'{"second":1}'

    async def test_no_more_than_so_many_requests_go_to_one_host_at_once(self) -> None:
        waiting: list[Any] = []
        peer = self.peer(waiting.append)
        client = self.client()
        url = f"http://127.0.0.1:{peer.port}/"
        answers = [Deferred.fromCoroutine(client.request("GET", url)) for _ in range(30)]
        await until(lambda: len(waiting) == 8)
        await sleep(0.1)
        assert len(waiting) == 8
        while any(not each.called for each in answers):
            while waiting:
                respond(waiting.pop(), 200, b"")
            await sleep(0.01)
        assert len(peer.seen) == 30

    async def test_the_body_goes_to_a_sink_piece_by_piece(self) -> None:
        peer = self.peer(always(200, b"x" * 300_000))
        pieces: list[bytes] = []
        answer = await self.client().request(
            "GET", f"http://127.0.0.1:{peer.port}/", sink=lambda _: pieces.append
        )
        assert answer.body == b""
        assert sum(map(len, pieces)) == 300_000
        assert len(pieces) > 1


async def gone(peer: RawPeer) -> None:
    """Wait until the peer has lost its connections, and its timers have noticed."""
    await until(lambda: peer.connections == 0)
    await sleep(0.1)
