"""Long lists of events that are read while they arrive: what comes of the pieces, and what they may cost."""

from typing import Any, Final

import pytest
from twisted.internet.defer import Deferred

from federation.client.errors import Unreachable
from federation.wire import list_splitting
from federation.wire.list_splitting import Item
from federation.wire.state import STATE, AtEvent, RoomState
from homeserver.protocol.identifiers import RoomID, ServerName
from homeserver.protocol.room_versions import ROOM_VERSIONS
from homeserver.services.rooms.ingest.intake import PduIntake
from homeserver.services.rooms.ingest.pdu_batches import AT_ONCE, PdusOf, Read
from tests.federation.homeservers import Internet
from tests.federation.whole_servers import World, in_world
from tests.harness.memory import result_of
from tests.harness.outside import AUTHORITY, Peer, sleep, until

PEER: Final = ServerName("peer.example")


@pytest.mark.usefixtures("internet")
class TestAnswers(Internet):
    """As the client reads them."""

    def setUp(self) -> None:
        super().setUp()
        self.pieces: list[bytes] = []
        self.taken: list[Item] = []
        self.sent = 0
        peer = Peer(self._answer, AUTHORITY.leaf([PEER])).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(peer.stop()))
        self.address(PEER, 8448, peer.port)
        self.put("_AT_ONCE", 1)
        self.alpha = self.homeserver("alpha.example")

    def put(self, name: str, value: int) -> None:
        """Let a limit be another one until the end of the test."""
        self.addCleanup(setattr, list_splitting, name, getattr(list_splitting, name))
        setattr(list_splitting, name, value)

    def _answer(self, request: Any) -> None:
        writing = Deferred.fromCoroutine(self._write(request))
        self.addCleanup(lambda: writing)

    async def _write(self, request: Any) -> None:
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        for piece in self.pieces:
            if gone:
                return
            request.write(piece)
            self.sent += len(piece)
            await sleep(0)
        request.finish()

    async def ask(self, take: Any = None) -> RoomState:
        """Ask for a state."""
        return await self.alpha.transport.client.request_lists(
            STATE, PEER, take or self.taken.extend, path={"room_id": "!a:b"}, query=AtEvent("$x")
        )

    @in_world
    async def test_items_come_one_by_one_and_the_answer_is_empty(self) -> None:
        self.pieces = [b'{"pdus":[{"a":1},', b'{"b"', b':2}],"auth', b'_chain":[3', b"]}"]
        assert await self.ask() == RoomState([], [])
        assert self.taken == [("pdus", b'{"a":1}'), ("pdus", b'{"b":2}'), ("auth_chain", b"3")]

    @in_world
    async def test_what_is_not_the_answer_is_no_answer(self) -> None:
        for body in (b"", b"[]", b'{"pdus":[1]}', b'{"pdus":1,"auth_chain":[]}', b'{"pdus":[1', b"{}"):
            self.pieces = [body] if body else []
            with pytest.raises(Unreachable, match="not what it should be"):
                await self.ask()

    @in_world
    async def test_an_item_without_end_ends_the_answer(self) -> None:
        self.put("MAX_ITEM_BYTES", 10_000)
        self.pieces = [b'{"pdus":["', *[b"x" * 1000] * 300]
        with pytest.raises(Unreachable, match="too large"):
            await self.ask()
        assert self.sent < 300_000

    @in_world
    async def test_no_more_is_read_while_there_is_no_room(self) -> None:
        self.pieces = [b'{"pdus":[1', *[b"," + b"1" * 20_000] * 300, b'],"auth_chain":[]}']
        room: Deferred[None] = Deferred()
        taken = 0

        def take(items: list[Item]) -> Deferred[None] | None:
            nonlocal taken
            taken += len(items)
            return room if taken > 5 and not room.called else None

        asking = Deferred.fromCoroutine(self.ask(take))
        await until(lambda: taken > 5)
        await sleep(0.2)
        assert taken < 150
        room.callback(None)
        await asking
        assert taken == 301


class Threads:
    """Threads that work when the test lets them."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, Deferred[Any]]] = []

    def __call__(self, function: Any) -> Deferred[Any]:
        """Begin to wait."""
        done: Deferred[Any] = Deferred()
        self.waiting.append((function, done))
        return done

    def work(self) -> None:
        """Do one piece of work."""
        function, done = self.waiting.pop(0)
        done.callback(function())


OF: Final = PdusOf(RoomID("!a:b"), ROOM_VERSIONS["11"])


def test_one_batch_is_read_at_a_time_and_one_waits() -> None:
    threads = Threads()
    intake = PduIntake(OF, threads)
    assert intake.take([("state", b"1")] * (AT_ONCE - 1)) is None
    assert not threads.waiting
    assert intake.take([("state", b"1")]) is not None
    assert intake.take([("state", b"1")] * (AT_ONCE - 1)) is None
    room = intake.take([("state", b"1")])
    assert room is not None
    told: list[object] = []
    _ = room.addCallback(told.append)
    assert len(threads.waiting) == 1
    threads.work()
    assert (len(threads.waiting), told) == (1, [])
    threads.work()
    assert (len(threads.waiting), told) == (0, [None])


def test_the_rest_is_read_at_the_end() -> None:
    threads = Threads()
    intake = PduIntake(OF, threads)
    intake.take([("state", b"1")] * (AT_ONCE + 50))
    intake.take([("auth_chain", b"{")] * 3)
    end = Deferred.fromCoroutine(intake.finish())
    threads.work()
    threads.work()
    assert result_of(_awaited(end)).given == [None] * (AT_ONCE + 53)
    assert intake.given("state") == [None] * (AT_ONCE + 50)
    assert intake.given("auth_chain") == [None] * 3


async def _awaited(read: Deferred[Read]) -> Read:
    return await read


def test_what_goes_wrong_on_a_thread_is_not_lost() -> None:
    def broken(function: Any) -> Deferred[Any]:
        raise ZeroDivisionError

    intake = PduIntake(OF, broken)
    intake.take([("state", b"1")] * (AT_ONCE + 50))
    intake.take([("state", b"1")] * (AT_ONCE + 50))
    with pytest.raises(ZeroDivisionError):
        result_of(intake.finish())


@pytest.mark.usefixtures("internet")
class TestJoins(World):
    """Of rooms whose state comes in pieces."""

    @in_world
    async def test_lists_longer_than_a_batch_are_read_whole(self) -> None:
        self.put(list_splitting, "_AT_ONCE", 100)
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        state = [
            {"type": "m.test", "state_key": str(n), "content": {"text": '"}{\\][,: é' * (n % 4)}}
            for n in range(2 * AT_ONCE + 20)
        ]
        room = await alice.public_room(initial_state=state)
        await bob.join(room, alpha)
        assert await bob.state(room) == await alice.state(room)
