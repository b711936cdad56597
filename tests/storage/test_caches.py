"""Caches: one budget, single flight, and nothing outdated."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from storage.caches import OVERHEAD, Cache, CacheBudget


def made(limit: int = 100_000) -> tuple[CacheBudget, Cache[str, str]]:
    budget = CacheBudget(limit)
    return budget, budget.cache("tests", len)


def started(cache: Cache[str, str], key: str, load: Callable[[], Deferred[str]]) -> Deferred[str]:
    return Deferred.fromCoroutine(cache.fetch(key, load))


def test_what_was_put_is_found_until_popped() -> None:
    _, cache = made()
    cache.put("a", "x")
    assert cache.get("a") == "x"
    cache.pop("a")
    assert cache.get("a") is None
    assert len(cache) == cache.bytes == 0


def test_an_entry_in_use_outlives_the_others() -> None:
    _, cache = made(limit=10 * (OVERHEAD + 10))
    cache.put("used", "x" * 10)
    for number in range(100):
        cache.get("used")
        cache.put(f"{number}", "x" * 10)
    assert cache.get("used") is not None
    assert cache.get("0") is None


def test_a_value_that_would_fill_the_budget_is_not_kept() -> None:
    _, cache = made(limit=8000)
    cache.put("a", "small")
    cache.put("a", "x" * 1000)
    assert cache.get("a") is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "put", "get", "pop", "clear"]),
            st.integers(0, 1),
            st.integers(0, 30),
            st.integers(0, 3000),
        )
    )
)
def test_the_budget_is_never_exceeded_and_counts_what_is_held(
    actions: list[tuple[str, int, int, int]],
) -> None:
    budget = CacheBudget(20_000)
    caches: list[Cache[int, bytes]] = [budget.cache("one", len), budget.cache("two", len)]
    for action, which, key, size in actions:
        cache = caches[which]
        if action == "put":
            cache.put(key, bytes(size))
        elif action == "get":
            value = cache.get(key)
            assert value is None or len(value) >= 0
        elif action == "pop":
            cache.pop(key)
        else:
            cache.clear()
        assert budget.held <= budget.limit
        held = [entry.size for cache in caches for entry in cache._entries.values()]
        assert budget.held == sum(held) == sum(cache.bytes for cache in caches)


def test_popped_entries_do_not_pile_up() -> None:
    budget, cache = made()
    for number in range(10_000):
        cache.put(f"{number}", "x")
        cache.pop(f"{number}")
    assert len(budget._ring) <= 2001


def test_those_who_ask_meanwhile_share_one_load() -> None:
    _, cache = made()
    loads: list[Deferred[str]] = []

    def load() -> Deferred[str]:
        loads.append(Deferred())
        return loads[-1]

    answers: list[str] = []
    for _ in range(3):
        started(cache, "a", load).addCallback(answers.append)
    assert answers == []
    loads[0].callback("value")
    assert answers == ["value"] * 3
    assert len(loads) == 1
    assert cache.get("a") == "value"


def test_the_load_goes_on_when_the_first_who_asked_goes_away() -> None:
    _, cache = made()
    loading: Deferred[str] = Deferred()
    first, second = started(cache, "a", lambda: loading), started(cache, "a", lambda: loading)
    gone: list[object] = []
    first.addErrback(lambda failure: gone.append(failure.type))
    first.cancel()
    answers: list[str] = []
    second.addCallback(answers.append)
    loading.callback("value")
    assert gone == [CancelledError]
    assert answers == ["value"]


def test_a_failed_load_fails_all_and_is_tried_again() -> None:
    _, cache = made()
    loading: Deferred[str] = Deferred()
    failures: list[object] = []
    for _ in range(2):
        started(cache, "a", lambda: loading).addErrback(lambda failure: failures.append(failure.type))
    loading.errback(ValueError("x"))
    assert failures == [ValueError] * 2
    answers: list[str] = []
    again: Deferred[str] = Deferred()
    started(cache, "a", lambda: again).addCallback(answers.append)
    again.callback("value")
    assert answers == ["value"]


def test_what_was_popped_while_it_was_loaded_is_not_kept() -> None:
    _, cache = made()
    loading: Deferred[str] = Deferred()
    answers: list[str] = []
    started(cache, "a", lambda: loading).addCallback(answers.append)
    cache.pop("a")
    loading.callback("outdated")
    assert answers == ["outdated"]
    assert cache.get("a") is None


def test_many_keys_are_loaded_at_once_and_unknown_ones_left_out() -> None:
    _, cache = made()
    cache.put("here", "1")
    asked: list[list[str]] = []

    async def load(keys: list[str]) -> dict[str, str]:
        asked.append(keys)
        return {"loaded": "2"}

    found: list[dict[str, str]] = []
    Deferred.fromCoroutine(cache.fetch_many(["here", "loaded", "unknown", "here"], load)).addCallback(
        found.append
    )
    assert found == [{"here": "1", "loaded": "2"}]
    assert asked == [["loaded", "unknown"]]
    assert cache.get("loaded") == "2"
    assert cache.get("unknown") is None


@pytest.mark.parametrize("outdated", [False, True])
def test_a_key_asked_for_again_after_a_pop_is_loaded_anew(outdated: bool) -> None:
    _, cache = made()
    first: Deferred[str] = Deferred()
    second: Deferred[str] = Deferred()
    answers: list[str] = []
    started(cache, "a", lambda: first).addCallback(answers.append)
    cache.pop("a")
    started(cache, "a", lambda: second).addCallback(answers.append)
    for loading, value in (
        [(second, "new"), (first, "old")] if outdated else [(first, "old"), (second, "new")]
    ):
        loading.callback(value)
    assert sorted(answers) == ["new", "old"]
    assert cache.get("a") == "new"
