"""What hostile or broken clients send, and what it costs us."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.http.channel import ConnectionLimits
from tests.harness.client import Reply, parse_reply
from tests.harness.memory import MemoryConnection, pieces
from tests.http.sample import Sample

RAW = b"GET /_matrix/client/v3/raw HTTP/1.1\r\nHost: x\r\n\r\n"
UPLOAD = b"POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n"
CHUNKED = UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /_matrix/client/v3/fail/missing HTTP/1.1\r\nHost: x\r\n\r\n"

VALID = {
    "raw": (RAW, b'{"raw":true}'),
    "sized": (UPLOAD + b"Content-Length: 3\r\n\r\nabc", b"abc"),
    "empty": (UPLOAD + b"Content-Length: 0\r\n\r\n", b""),
    "chunked": (CHUNKED + b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n", b"abcdefg"),
    "looks like a request": (UPLOAD + b"Content-Length: %d\r\n\r\n%b" % (len(SMUGGLED), SMUGGLED), SMUGGLED),
}


def connected(sample: Sample | None = None) -> MemoryConnection:
    return MemoryConnection((sample or Sample()).site)


def replies(data: bytes) -> list[Reply]:
    found = []
    while data:
        parsed = parse_reply(data)
        assert parsed is not None, data
        reply, data = parsed
        found.append(reply)
    return found


def statuses(connection: MemoryConnection) -> list[int]:
    return [reply.status for reply in replies(connection.received())]


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Content-Length: 4\r\nContent-Length: 4\r\n",
        b"Content-Length: 4, 4\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length: -4\r\n",
        b"Content-Length: 0x4\r\n",
        b"Content-Length: 4 4\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: " + b"9" * 5000 + b"\r\n",
        b"Content-Length : 4\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Transfer Encoding: chunked\r\n",
        b"X: a\nContent-Length: 4\r\n",
        b"X: a\rContent-Length: 4\r\n",
        b"X: \x00\r\n",
        b"no colon\r\n",
        b": empty name\r\n",
        b"Host: y\r\n",
        b"X: a\r\n Content-Length: 4\r\n",
        b" X: a\r\n",
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(headers: bytes) -> None:
    connection = connected()
    connection.send(UPLOAD + headers + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert statuses(connection) == [400]
    assert connection.closed


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\nabc",
        b"-1\r\nabc",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"1" * 100,
    ],
)
def test_a_malformed_chunk_ends_the_connection(body: bytes) -> None:
    connection = connected()
    connection.send(CHUNKED + body + SMUGGLED)
    assert statuses(connection) == [400]
    assert connection.closed


@pytest.mark.parametrize(
    "line",
    [
        b"GET /_matrix/client/v3/raw",
        b"GET  /_matrix/client/v3/raw HTTP/1.1",
        b"GET /_matrix/client/v3/raw HTTP/2.0",
        b"GET /_matrix/client/v3/raw HTTP/1.1 x",
        b"GET\t/_matrix/client/v3/raw HTTP/1.1",
        b"G@T /_matrix/client/v3/raw HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02",
    ],
)
def test_a_malformed_request_line_is_refused(line: bytes) -> None:
    connection = connected()
    connection.send(line + b"\r\nHost: x\r\n\r\n" + SMUGGLED)
    assert statuses(connection) == [400]
    assert connection.closed


def test_a_host_is_required() -> None:
    connection = connected()
    connection.send(b"GET /_matrix/client/v3/raw HTTP/1.1\r\n\r\n")
    assert statuses(connection) == [400]


def test_chunked_bodies_are_read_in_any_pieces() -> None:
    for size in (1, 2, 7, 1000):
        connection = connected()
        for piece in pieces(CHUNKED + b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n" + RAW, size):
            connection.send(piece)
        first, second = replies(connection.received())
        assert (first.body, second.json) == (b"abc0123456789abcdef", {"raw": True})


def test_pipelined_requests_are_answered_in_order() -> None:
    connection = connected()
    connection.send(RAW + SMUGGLED + UPLOAD + b"Content-Length: 3\r\n\r\nabc" + RAW)
    assert [reply.status for reply in replies(connection.received())] == [200, 404, 200, 200]
    assert not connection.closed


def test_a_pipelined_request_waits_for_the_one_before() -> None:
    sample = Sample()
    connection = connected(sample)
    connection.send(
        b"GET /_matrix/client/v3/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n" + RAW
    )
    assert connection.received() == b""
    sample.api.waiting[0].callback({"next_batch": "1"})
    assert [reply.json for reply in replies(connection.received())] == [{"next_batch": "1"}, {"raw": True}]


def test_requests_piled_up_behind_a_long_poll_are_not_read_without_end() -> None:
    connection = connected()
    connection.send(b"GET /_matrix/client/v3/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n")
    for _ in range(1000):
        connection.send(RAW)
        if connection.transport.producerState == "paused":
            break
    assert connection.transport.producerState == "paused"


def test_a_thousand_pipelined_requests_do_not_pile_up_on_the_stack() -> None:
    connection = connected()
    connection.send(RAW * 2000)
    assert len(replies(connection.received())) == 2000


def test_an_announced_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    connection = connected()
    connection.send(UPLOAD + b"Content-Length: 1000001\r\nExpect: 100-continue\r\n\r\n")
    (reply,) = replies(connection.received())
    assert (reply.status, reply.errcode, reply.headers["connection"]) == (413, "M_TOO_LARGE", "close")


def test_a_body_in_chunks_is_refused_when_it_becomes_too_large() -> None:
    connection = connected()
    connection.send(CHUNKED)
    for _ in range(11):
        connection.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
    (reply,) = replies(connection.received())
    assert (reply.status, reply.errcode) == (413, "M_TOO_LARGE")


def test_limits_of_bodies_are_the_endpoints_own() -> None:
    client = Sample().client
    assert client.post("/_matrix/media/v3/upload", b"x" * 900_000).status == 200
    assert client.post("/_matrix/client/v3/named", b" " * 900_000).status == 413
    assert client.post("/_matrix/client/v3/nothing", b" " * 900_000).status == 413


def test_a_refused_body_is_thrown_away_so_that_the_answer_arrives() -> None:
    connection = connected()
    connection.send(UPLOAD + b"Content-Length: 2000000\r\n\r\n")
    connection.send(b"x" * 1_999_999)
    assert not connection.closed
    connection.send(b"x" + SMUGGLED)
    assert statuses(connection) == [413]
    assert connection.closed


def test_a_refused_body_is_not_thrown_away_for_ever() -> None:
    sample = Sample(limits=ConnectionLimits(linger_bytes=1000, linger_timeout=5))
    connection = connected(sample)
    connection.send(UPLOAD + b"Content-Length: 2000000\r\n\r\n")
    connection.send(b"x" * 1001)
    assert connection.closed
    waiting = connected(sample)
    waiting.send(UPLOAD + b"Content-Length: 2000000\r\n\r\n")
    sample.clock.advance(7)
    assert waiting.closed


def test_whoever_expects_to_be_told_to_go_on_is() -> None:
    connection = connected()
    connection.send(UPLOAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert connection.received() == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(b"abc")
    assert statuses(connection) == [200]


@pytest.mark.parametrize(
    "bomb",
    [
        b"X: " + b"a" * 20_000,
        b"".join(b"X-%d: a\r\n" % number for number in range(200)),
        b"".join(b"X-%d: %b\r\n" % (number, b"a" * 1000) for number in range(20)),
    ],
)
def test_heads_have_limits(bomb: bytes) -> None:
    connection = connected()
    connection.send(b"GET /_matrix/client/v3/raw HTTP/1.1\r\nHost: x\r\n" + bomb + b"\r\n\r\n")
    assert connection.closed
    assert b"200 OK" not in connection.received()


def test_a_request_line_without_end_is_refused() -> None:
    connection = connected()
    for _ in range(20):
        connection.send(b"GET /" + b"a" * 1000)
    assert connection.closed


def test_a_head_must_arrive_in_time() -> None:
    sample = Sample(limits=ConnectionLimits(head_timeout=10))
    connection = connected(sample)
    for byte in pieces(RAW[:-2], 1):
        connection.send(byte)
        sample.clock.advance(1)
        if connection.closed:
            break
    assert connection.closed
    assert sample.clock.seconds() <= 12


def test_a_connection_that_says_nothing_is_closed() -> None:
    sample = Sample(limits=ConnectionLimits(head_timeout=10))
    connection = connected(sample)
    sample.clock.advance(12)
    assert connection.closed


def test_a_slow_body_is_cut_off_and_a_steady_one_is_not() -> None:
    sample = Sample(limits=ConnectionLimits(body_grace=10, body_min_rate=1000))
    slow, steady = connected(sample), connected(sample)
    for each in (slow, steady):
        each.send(UPLOAD + b"Content-Length: 100000\r\n\r\n")
    for _ in range(50):
        slow.send(b"x" * 10)
        steady.send(b"x" * 2000)
        sample.clock.advance(1)
    assert slow.closed
    assert statuses(steady) == [200]


def test_an_idle_connection_is_closed_and_a_used_one_is_not() -> None:
    sample = Sample(limits=ConnectionLimits(idle_timeout=30))
    idle, used = connected(sample), connected(sample)
    for each in (idle, used):
        each.send(RAW)
    for _ in range(5):
        sample.clock.advance(10)
        used.send(RAW)
    assert idle.closed
    assert not used.closed


def test_a_long_poll_is_not_idle() -> None:
    sample = Sample(limits=ConnectionLimits(idle_timeout=30))
    pending = sample.client.start("GET", "/_matrix/client/v3/sync")
    sample.clock.advance(500)
    assert not pending.connection.closed
    sample.api.waiting[0].callback({"next_batch": "2"})
    assert pending.reply.json == {"next_batch": "2"}


def test_a_client_that_does_not_take_its_answer_is_cut_off() -> None:
    sample = Sample(limits=ConnectionLimits(write_timeout=20))
    connection = connected(sample)
    connection.send(RAW)
    connection.stall()
    sample.clock.advance(25)
    assert connection.transport.disconnected or connection.closed


def test_connections_have_a_limit() -> None:
    sample = Sample(limits=ConnectionLimits(max_connections=2))
    first, second, third = (connected(sample) for _ in range(3))
    assert (first.refused, second.refused, third.refused) == (False, False, True)
    first.close()
    assert not connected(sample).refused


def test_a_lost_connection_is_forgotten() -> None:
    sample = Sample()
    connection = connected(sample)
    connection.send(UPLOAD + b"Content-Length: 100\r\n\r\nabc")
    connection.close()
    assert sample.site.load().connections == 0


@pytest.mark.parametrize("header", [b"Connection: close\r\n", b"Connection: keep-alive, Close\r\n"])
def test_a_client_may_ask_to_close(header: bytes) -> None:
    connection = connected()
    connection.send(RAW[:-2] + header + b"\r\n" + SMUGGLED)
    (reply,) = replies(connection.received())
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert connection.closed


def test_older_clients_get_one_answer_a_connection() -> None:
    connection = connected()
    connection.send(b"GET /_matrix/client/v3/raw HTTP/1.0\r\n\r\n")
    assert statuses(connection) == [200]
    assert connection.closed


def test_a_target_in_absolute_form_leads_to_its_path() -> None:
    connection = connected()
    connection.send(b"GET http://x/_matrix/client/v3/raw HTTP/1.1\r\nHost: x\r\n\r\n")
    assert statuses(connection) == [200]


def test_the_address_is_the_connections() -> None:
    reply = Sample().client.get("/_matrix/client/v3/address", X_Forwarded_For="203.0.113.9")
    assert reply.json["address"] == "192.0.2.1"


def test_the_address_is_what_a_trusted_proxy_added_last() -> None:
    reply = Sample(x_forwarded=True).client.get(
        "/_matrix/client/v3/address", X_Forwarded_For="1.2.3.4, 203.0.113.9"
    )
    assert reply.json["address"] == "203.0.113.9"


def test_limits_by_address_count_an_ipv6_network_as_one() -> None:
    sample = Sample(x_forwarded=True, addresses_at_once=1)
    path = "/_matrix/client/v3/address"
    assert sample.client.get(path, X_Forwarded_For="2001:db8::1").status == 200
    assert sample.client.get(path, X_Forwarded_For="2001:db8::2").status == 429
    assert sample.client.get(path, X_Forwarded_For="2001:db8:0:1::1").status == 200
    assert sample.client.get(path, X_Forwarded_For="not an address:").status == 200


def test_a_body_in_tiny_pieces_is_put_together() -> None:
    connection = connected()
    connection.send(CHUNKED)
    for _ in range(5000):
        connection.send(b"1\r\nx\r\n")
    connection.send(b"0\r\n\r\n")
    (reply,) = replies(connection.received())
    assert reply.body == b"x" * 5000


@given(st.lists(st.sampled_from(list(VALID)), max_size=6), st.data())
def test_answers_do_not_depend_on_how_requests_are_cut(names: list[str], data: st.DataObject) -> None:
    stream = b"".join(VALID[name][0] for name in names)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    connection = connected()
    for start, end in pairwise([0, *sorted(cuts), len(stream)]):
        connection.send(stream[start:end])
    assert [reply.body for reply in replies(connection.received())] == [VALID[name][1] for name in names]


PIECES = [*(request for request, _ in VALID.values()), b"\r\n", b"\x00", b" ", b":", b"0"]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=40)))
def test_nothing_that_is_sent_breaks_the_parser(data: list[bytes]) -> None:
    connection = connected()
    for piece in data:
        connection.send(piece)
    for reply in replies(connection.received()):
        assert reply.status < 500
