"""Bodies that are read while they arrive: no faster than their reader, and to the end or not at all."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.http.bodies import HIGH_WATER, BodyStream
from homeserver.protocol.errors import TooLarge


class Client:
    """Whoever sends the body."""

    def __init__(self) -> None:
        self.held = 0
        self.released = 0
        self.body = BodyStream(None, self.hold, self.go_on)
        self.got: list[bytes] = []
        self.ended: list[object] = []

    def hold(self) -> None:
        self.held += 1

    def go_on(self) -> None:
        self.released += 1

    def read(self) -> None:
        """Read all that comes."""
        reading = Deferred.fromCoroutine(self._read())
        _ = reading.addBoth(self.ended.append)

    async def _read(self) -> str:
        async for piece in self.body:
            self.got.append(piece)
        return "whole"


@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(0, 50))
def test_all_of_a_body_is_read_in_order(pieces: list[bytes], before: int) -> None:
    client = Client()
    for piece in pieces[:before]:
        client.body.feed(piece)
    client.read()
    for piece in pieces[before:]:
        client.body.feed(piece)
    client.body.finish()
    assert (b"".join(client.got), client.ended) == (b"".join(pieces), ["whole"])


def test_a_client_that_is_faster_than_the_reader_is_held_back_until_it_has_read() -> None:
    client = Client()
    for _ in range(5):
        client.body.feed(bytes(HIGH_WATER // 4))
    assert (client.held, client.released) == (1, 0)
    client.read()
    assert (client.held, client.released) == (1, 1)
    client.body.finish()
    assert sum(map(len, client.got)) == HIGH_WATER // 4 * 5


def test_who_reads_a_body_that_fails_is_told_and_gets_no_more_of_it() -> None:
    client = Client()
    client.body.feed(b"a")
    client.read()
    client.body.fail(TooLarge())
    client.body.feed(b"b")
    assert client.got == [b"a"]
    (failure,) = client.ended
    assert isinstance(failure, Failure)
    assert isinstance(failure.value, TooLarge)


def test_a_body_that_is_whole_fails_no_more() -> None:
    client = Client()
    client.body.feed(b"a")
    client.body.finish()
    client.body.fail(TooLarge())
    client.read()
    assert (client.got, client.ended) == ([b"a"], ["whole"])
