"""Which of several servers is heard first, when some refuse, some are slow and some never answer."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.protocol.errors import Forbidden, NotFound
from homeserver.protocol.identifiers import ServerName
from homeserver.services.rooms.asking_around import PATIENCE_S, AskingAround
from tests.harness.memory import SteppingClock

A, B, C = ServerName("a.example"), ServerName("b.example"), ServerName("c.example")


class Round:
    """Servers that answer when the test says so, and what came of it."""

    def __init__(self, *servers: ServerName) -> None:
        self.clock = SteppingClock()
        self.asked: dict[ServerName, Deferred[str]] = {}
        self.around = AskingAround(self.clock, servers, self._ask)
        self.heard: list[Any] = []
        self.let_go: list[ServerName] = []

    async def _ask(self, server: ServerName) -> str:
        self.asked[server] = Deferred(lambda _: self.let_go.append(server))
        return await self.asked[server]

    def listen(self) -> None:
        """Wait for the next answer; it is in `heard` once it came."""
        _ = Deferred.fromCoroutine(self.around.next()).addBoth(self.heard.append)


def test_servers_are_asked_one_after_the_other_while_they_refuse() -> None:
    these, error = Round(A, B), Forbidden()
    these.listen()
    assert set(these.asked) == {A}
    these.asked[A].errback(error)
    assert these.heard == [(A, error)]
    these.listen()
    these.asked[B].callback("yes")
    assert these.heard[1:] == [(B, "yes")]


def test_a_slow_server_is_joined_by_the_next_one_and_may_still_be_first() -> None:
    these = Round(A, B, C)
    these.listen()
    these.clock.advance(PATIENCE_S - 0.1)
    assert set(these.asked) == {A}
    these.clock.advance(0.2)
    assert set(these.asked) == {A, B}
    these.asked[A].callback("late")
    assert these.heard == [(A, "late")]
    these.clock.advance(10 * PATIENCE_S)
    assert set(these.asked) == {A, B}, "nobody waits for more"


def test_who_is_slow_is_let_go_at_the_end() -> None:
    these = Round(A, B)
    these.listen()
    these.clock.advance(PATIENCE_S)
    these.asked[B].callback("yes")
    these.around.stop()
    assert (these.heard, these.let_go) == ([(B, "yes")], [A])


def test_after_the_last_server_there_is_nobody() -> None:
    these, error = Round(A), NotFound("no room")
    these.listen()
    these.asked[A].errback(error)
    these.listen()
    assert these.heard == [(A, error), None]


def test_a_bug_is_not_taken_for_an_answer() -> None:
    these = Round(A, B)
    these.listen()
    these.asked[A].errback(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        these.heard[0].raiseException()
