# mypy: allow-untyped-calls
# Twisted's reactors have no annotations.

import threading
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock as TwistedClock

from homeserver.app.runtime import ReactorClock, SystemRandomness, ThreadWorkers
from tests.harness.memory import result_of


def clock_of(reactor: Any) -> ReactorClock:
    return ReactorClock(reactor, wall=lambda: 1234.5678)


def test_wall_time_is_in_milliseconds() -> None:
    assert clock_of(TwistedClock()).now_ms() == 1234567


def test_monotonic_time_does_not_run_backwards() -> None:
    clock = clock_of(TwistedClock())
    assert clock.seconds() <= clock.seconds()


def test_a_call_is_made_when_it_is_due() -> None:
    reactor = TwistedClock()
    made: list[str] = []
    timer = clock_of(reactor).call_later(2, made.append, "call")
    reactor.advance(1.9)
    assert (made, timer.active()) == ([], True)
    reactor.advance(0.2)
    assert (made, timer.active()) == (["call"], False)


def test_sleep_lasts_as_long_as_was_asked() -> None:
    reactor = TwistedClock()
    result_of(clock_of(reactor).sleep(3), lambda: reactor.advance(0.5))
    assert reactor.seconds() == 3


def test_a_cancelled_sleep_leaves_no_timer() -> None:
    reactor = TwistedClock()
    sleeping = Deferred.fromCoroutine(clock_of(reactor).sleep(3))
    sleeping.cancel()
    failures: list[Any] = []
    _ = sleeping.addErrback(failures.append)
    assert failures[0].check(CancelledError)
    assert reactor.getDelayedCalls() == []


def test_tokens_are_url_safe_and_long_enough() -> None:
    random = SystemRandomness()
    token = random.token(32)
    assert len(token) == 43
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert random.token(32) != token


def test_letters_choices_and_numbers() -> None:
    random = SystemRandomness()
    letters = random.letters(50)
    assert (len(letters), letters.isascii(), letters.isalpha()) == (50, True, True)
    assert random.choice(["a", "b"]) in {"a", "b"}
    assert 1 <= random.uniform(1, 2) <= 2


def test_threads_do_the_work_and_the_reactor_gets_the_result() -> None:
    reactor: Any = EPollReactor()
    workers = ThreadWorkers(reactor, "test", 2)
    results: list[Any] = []

    async def work() -> None:
        results.append(await workers.run(threading.get_ident))
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0)

    def start() -> None:
        _ = Deferred.fromCoroutine(work()).addBoth(results.append).addBoth(lambda _result: reactor.stop())

    reactor.callWhenRunning(start)
    reactor.run(installSignalHandlers=False)
    workers.stop()
    assert results[0] != threading.get_ident()
    assert results[1] is None
