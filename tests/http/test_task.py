"""The driver of a request's coroutine."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.http.task import Task
from homeserver.protocol.errors import NotFound


def _run(waiting: Deferred[Any]) -> list[str]:
    outcome: list[str] = []

    async def work() -> str:
        try:
            return f"got {await waiting}"
        except NotFound as error:
            return f"failed: {error.message}"

    Task(work(), outcome.append, "id").start()
    return outcome


@pytest.mark.parametrize("late", [True, False])
def test_a_coroutine_gets_what_it_waits_for(late: bool) -> None:
    waiting: Deferred[str] = Deferred()
    if late:
        outcome = _run(waiting)
        assert outcome == []
        waiting.callback("it")
    else:
        waiting.callback("it")
        outcome = _run(waiting)
    assert outcome == ["got it"]


@pytest.mark.parametrize("late", [True, False])
def test_a_coroutine_gets_the_error_of_what_it_waits_for(late: bool) -> None:
    waiting: Deferred[str] = Deferred()
    if late:
        outcome = _run(waiting)
        assert outcome == []
        waiting.errback(NotFound("nowhere"))
    else:
        waiting.errback(NotFound("nowhere"))
        outcome = _run(waiting)
    assert outcome == ["failed: nowhere"]
