"""The health of other servers: how long one is left alone, what wakes it, what is on record."""

import pytest

from federation.client.destinations import FIRST_PAUSE_MS, LONGEST_PAUSE_MS, Attempt, DestinationHealth
from federation.client.errors import Unreachable
from homeserver.protocol.identifiers import ServerName
from storage.database import Database
from tests.harness.memory import SeededRandom, SteppingClock, result_of
from tests.harness.postgres import TestDatabase

AWAY = ServerName("away.example")
SECOND = 1000


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def health(database: Database, clock: SteppingClock) -> DestinationHealth:
    return DestinationHealth(database, clock, SeededRandom())


def fail_once(health: DestinationHealth, clock: SteppingClock) -> float:
    """Wait until the server may be asked, ask it in vain, and return for how long it is left alone then."""
    retry = health.retry_at_ms(AWAY)
    if retry is not None:
        clock.advance((retry - clock.now_ms()) / 1000 + 0.001)
    health.failed(health.admit(AWAY))
    retry = health.retry_at_ms(AWAY)
    assert retry is not None
    return retry - clock.now_ms()


def test_a_server_that_never_failed_may_be_asked(health: DestinationHealth) -> None:
    assert health.retry_at_ms(AWAY) is None
    assert health.admit(AWAY) == Attempt(AWAY, 0)


def test_a_server_that_failed_is_left_alone_for_a_moment(
    health: DestinationHealth, clock: SteppingClock
) -> None:
    pause = fail_once(health, clock)
    assert 0.75 * FIRST_PAUSE_MS <= pause <= 1.25 * FIRST_PAUSE_MS
    with pytest.raises(Unreachable) as refusal:
        health.admit(AWAY)
    assert refusal.value.retry_at_ms == health.retry_at_ms(AWAY)
    clock.advance(pause / 1000)
    health.admit(AWAY)


def test_pauses_double_from_seconds_to_weeks_and_no_further(
    health: DestinationHealth, clock: SteppingClock
) -> None:
    interval = FIRST_PAUSE_MS
    for _ in range(23):
        pause = fail_once(health, clock)
        assert 0.75 * interval <= pause <= 1.25 * interval
        interval = min(interval * 2, LONGEST_PAUSE_MS)
        if interval > 3600 * SECOND:
            skip_to(health, clock)
    assert interval == LONGEST_PAUSE_MS


def skip_to(health: DestinationHealth, clock: SteppingClock) -> None:
    """Jump to the end of a pause."""
    retry = health.retry_at_ms(AWAY)
    assert retry is not None
    clock.twisted.rightNow += (retry - clock.now_ms()) / 1000 + 0.001


def test_pauses_of_servers_that_fail_together_differ(health: DestinationHealth) -> None:
    for number in range(20):
        health.failed(health.admit(ServerName(f"s{number}.example")))
    assert len({health.retry_at_ms(ServerName(f"s{number}.example")) for number in range(20)}) > 15


def test_failures_of_one_moment_count_once(health: DestinationHealth, clock: SteppingClock) -> None:
    attempts = [health.admit(AWAY) for _ in range(10)]
    for attempt in attempts:
        health.failed(attempt)
    retry = health.retry_at_ms(AWAY)
    assert retry is not None
    assert retry - clock.now_ms() <= 1.25 * FIRST_PAUSE_MS


def test_an_answer_ends_it(health: DestinationHealth, clock: SteppingClock) -> None:
    pause = fail_once(health, clock)
    clock.advance(pause / 1000)
    health.succeeded(health.admit(AWAY))
    assert fail_once(health, clock) <= 1.25 * FIRST_PAUSE_MS


def test_a_request_from_the_server_ends_it_at_once_and_wakes_who_waits(
    health: DestinationHealth, clock: SteppingClock
) -> None:
    woken: list[ServerName] = []
    health.listen(woken.append)
    for _ in range(5):
        fail_once(health, clock)
    health.heard_from(AWAY)
    assert woken == [AWAY]
    assert health.retry_at_ms(AWAY) is None


def test_a_server_that_is_well_wakes_nobody(health: DestinationHealth) -> None:
    woken: list[ServerName] = []
    health.listen(woken.append)
    health.heard_from(AWAY)
    health.succeeded(health.admit(AWAY))
    assert woken == []


def test_a_server_that_asks_but_cannot_be_reached_is_not_tried_at_each_request(
    health: DestinationHealth, clock: SteppingClock
) -> None:
    tries = 0
    for _ in range(120):
        health.heard_from(AWAY)
        if health.retry_at_ms(AWAY) is None:
            tries += 1
            health.failed(health.admit(AWAY))
        clock.advance(1)
    assert tries < 16


def test_a_failure_that_began_before_the_server_was_heard_does_not_count(
    health: DestinationHealth, clock: SteppingClock
) -> None:
    pause = fail_once(health, clock)
    clock.advance(pause / 1000)
    attempt = health.admit(AWAY)
    health.heard_from(AWAY)
    health.failed(attempt)
    assert health.retry_at_ms(AWAY) is None


def test_a_server_may_ask_to_be_left_alone_for_longer(
    health: DestinationHealth, clock: SteppingClock
) -> None:
    health.failed(health.admit(AWAY), at_least_ms=90 * SECOND)
    retry = health.retry_at_ms(AWAY)
    assert retry is not None
    assert retry - clock.now_ms() >= 90 * SECOND


def test_who_must_may_ask_in_a_pause(health: DestinationHealth, clock: SteppingClock) -> None:
    fail_once(health, clock)
    health.succeeded(health.admit(AWAY, despite_pause=True))
    assert health.retry_at_ms(AWAY) is None


def test_health_survives_a_restart(
    health: DestinationHealth, clock: SteppingClock, database: Database, test_database: TestDatabase
) -> None:
    for _ in range(4):
        fail_once(health, clock)
    result_of(health.saved())
    restarted = DestinationHealth(database, clock, SeededRandom(1))
    result_of(restarted.load())
    assert restarted.retry_at_ms(AWAY) == health.retry_at_ms(AWAY)
    assert 0.75 * 16 * SECOND <= fail_once(restarted, clock) <= 1.25 * 16 * SECOND
    restarted.heard_from(AWAY)
    assert test_database.rows("select * from destinations") == []


def test_nodes_learn_from_each_other(database: Database, clock: SteppingClock) -> None:
    here = DestinationHealth(database, clock, SeededRandom(1))
    there = DestinationHealth(database, clock, SeededRandom(2))
    woken: list[ServerName] = []
    there.listen(woken.append)
    fail_once(here, clock)
    result_of(there.load())
    assert there.retry_at_ms(AWAY) == here.retry_at_ms(AWAY)
    here.heard_from(AWAY)
    result_of(there.load())
    assert there.retry_at_ms(AWAY) is None
    assert woken == [AWAY]
