from tests.harness.client import parse_reply
from tests.harness.memory import MemoryConnection
from tests.http.sample import Sample

STREAM = "/_matrix/media/v3/stream"


def streaming(*chunks: bytes) -> Sample:
    sample = Sample()
    sample.api.chunks = list(chunks)
    return sample


def test_a_stream_of_known_length() -> None:
    reply = streaming(b"abc", b"", b"def").client.get(STREAM, {"length": 6})
    assert (reply.body, reply.headers["content-length"], reply.headers["content-type"]) == (
        b"abcdef",
        "6",
        "image/png",
    )


def test_a_stream_of_unknown_length_comes_in_chunks() -> None:
    reply = streaming(b"abc", b"def").client.get(STREAM)
    assert (reply.body, reply.headers["transfer-encoding"]) == (b"abcdef", "chunked")


def test_the_connection_is_used_again_after_a_stream() -> None:
    pending = streaming(b"abc").client.start("GET", STREAM)
    assert pending.reply.body == b"abc"
    pending.connection.send(b"GET /_matrix/client/v3/raw HTTP/1.1\r\nHost: x\r\n\r\n")
    parsed = parse_reply(pending.connection.received())
    assert parsed is not None
    assert parsed[0].json == {"raw": True}


def test_a_stream_that_is_shorter_than_promised_ends_the_connection() -> None:
    pending = streaming(b"abc").client.start("GET", STREAM, query={"length": 10})
    assert pending.connection.closed
    assert not pending.done


def test_a_stream_is_never_compressed() -> None:
    reply = streaming(b"a" * 10_000).client.get(STREAM, Accept_Encoding="gzip")
    assert "content-encoding" not in reply.headers


def test_a_stream_waits_for_a_slow_client() -> None:
    sample = streaming(b"abc", b"def", b"ghi")
    connection = MemoryConnection(sample.site)
    sample.api.before_chunk = lambda chunk: connection.stall() if chunk == b"def" else None
    connection.send(b"GET /_matrix/media/v3/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    data = connection.received()
    assert b"def" in data
    assert b"ghi" not in data
    connection.resume()
    parsed = parse_reply(data + connection.received())
    assert parsed is not None
    assert parsed[0].body == b"abcdefghi"


def test_a_stream_ends_with_its_client() -> None:
    sample = streaming(b"abc", b"def", b"ghi")
    connection = MemoryConnection(sample.site)
    taken: list[bytes] = []

    def stall(chunk: bytes) -> None:
        taken.append(chunk)
        connection.stall()

    sample.api.before_chunk = stall
    connection.send(b"GET /_matrix/media/v3/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.close()
    assert taken == [b"abc"]
    assert sample.api.finished == ["stream"]


def test_nothing_is_streamed_for_head() -> None:
    sample = streaming(b"abc")
    reply = sample.client.request("HEAD", STREAM, query={"length": 3})
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "3", b"")


def test_a_stream_that_breaks_off_ends_the_connection() -> None:
    sample = streaming(b"abc", b"def")

    def fail(chunk: bytes) -> None:
        if chunk == b"def":
            raise OSError("disk")

    sample.api.before_chunk = fail
    pending = sample.client.start("GET", STREAM)
    assert pending.connection.closed
    assert not pending.done
