import pytest

from homeserver.http.rate_limits import RateLimits
from homeserver.protocol.errors import LimitExceeded
from tests.harness.memory import SteppingClock
from tests.http.sample import LimitOf


def limits(clock: SteppingClock, enabled: bool = True) -> RateLimits:
    return RateLimits({"joins": LimitOf(0.5, 3), "logins": LimitOf(10, 1)}, clock, enabled)


def test_a_burst_passes_and_the_next_is_told_when_to_come_back() -> None:
    limited = limits(SteppingClock())
    for _ in range(3):
        limited.take("joins", "alice")
    with pytest.raises(LimitExceeded) as raised:
        limited.take("joins", "alice")
    assert 1990 <= raised.value.retry_after_ms <= 2010


def test_whoever_waits_as_told_gets_through() -> None:
    clock = SteppingClock()
    limited = limits(clock)
    for _ in range(3):
        limited.take("joins", "alice")
    for _ in range(5):
        with pytest.raises(LimitExceeded) as raised:
            limited.take("joins", "alice")
        clock.advance(raised.value.retry_after_ms / 1000)
        limited.take("joins", "alice")


def test_refusals_do_not_count() -> None:
    clock = SteppingClock()
    limited = limits(clock)
    for _ in range(50):
        try:
            limited.take("joins", "alice")
        except LimitExceeded:
            continue
    clock.advance(2.01)
    limited.take("joins", "alice")


def test_a_check_counts_nothing() -> None:
    bucket = limits(SteppingClock()).bucket("logins")
    assert bucket is not None
    for _ in range(10):
        bucket.check("alice")
    bucket.take("alice")
    with pytest.raises(LimitExceeded):
        bucket.check("alice")


def test_keys_and_names_are_apart() -> None:
    limited = limits(SteppingClock())
    limited.take("logins", "alice")
    limited.take("logins", "bob")
    limited.take("joins", "alice")
    with pytest.raises(LimitExceeded):
        limited.take("logins", "alice")


def test_the_long_run_rate_is_what_was_configured() -> None:
    clock = SteppingClock()
    limited = limits(clock)
    passed = 0
    for _ in range(1000):
        clock.advance(0.1)
        try:
            limited.take("joins", "alice")
            passed += 1
        except LimitExceeded:
            continue
    assert 50 <= passed <= 53


def test_keys_that_are_full_again_are_forgotten() -> None:
    clock = SteppingClock()
    limited = limits(clock)
    bucket = limited.bucket("joins")
    assert bucket is not None
    for number in range(5000):
        clock.twisted.advance(0.01)
        bucket.take(str(number))
    assert len(bucket) <= 1100


def test_everything_passes_when_limits_are_off() -> None:
    limited = limits(SteppingClock(), enabled=False)
    for _ in range(100):
        limited.take("joins", "alice")


def test_an_unknown_name_is_an_error_even_when_limits_are_off() -> None:
    with pytest.raises(KeyError):
        limits(SteppingClock(), enabled=False).take("nonsense", "alice")
