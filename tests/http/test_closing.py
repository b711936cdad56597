"""Clients that go away, and a server that does."""

import gc
from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog
from twisted.internet.defer import Deferred

from tests.harness.memory import MemoryConnection
from tests.http.sample import Sample

SYNC = "/_matrix/client/v3/sync"
SLOW = "/_matrix/client/v3/slow"


def closing(sample: Sample, grace: float = 5) -> list[None]:
    done: list[None] = []
    _ = Deferred.fromCoroutine(sample.site.close(grace)).addCallback(done.append)
    return done


def test_a_long_poll_ends_with_its_client() -> None:
    sample = Sample()
    pending = sample.client.start("GET", SYNC)
    pending.abandon()
    assert sample.api.finished == ["@alice:test"]
    assert sample.site.load().connections == 0


def test_anything_else_runs_to_its_end_without_its_client() -> None:
    sample = Sample()
    pending = sample.client.start("POST", SLOW, {"a": 1})
    pending.abandon()
    assert sample.api.finished == []
    sample.api.waiting[0].callback({})
    assert sample.api.finished == ["slow 1"]


def test_a_failure_that_comes_late_is_an_incident() -> None:
    sample = Sample()
    pending = sample.client.start("POST", SLOW)
    sample.api.waiting[0].errback(ZeroDivisionError())
    assert pending.reply.status == 500


def test_a_cancelled_call_whose_client_waits_is_an_incident() -> None:
    sample = Sample()
    pending = sample.client.start("GET", SYNC)
    sample.api.waiting[0].cancel()
    assert pending.reply.status == 500


@pytest.mark.parametrize("path", ["/_matrix/client/v3/raw", "/nothing", "/_matrix/client/v3/fail/missing"])
def test_an_answered_request_leaves_nothing_for_the_garbage_collector(path: str) -> None:
    sample = Sample()
    connection = MemoryConnection(sample.site)
    request = sample.client.encoded("GET", path)
    connection.send(request)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            connection.send(request)
        assert gc.collect() < 20
    finally:
        gc.enable()


def test_closing_without_connections_is_done_at_once() -> None:
    assert closing(Sample()) == [None]


def test_closing_ends_idle_connections() -> None:
    sample = Sample()
    connection = MemoryConnection(sample.site)
    done = closing(sample)
    connection.send(b"")
    assert connection.closed
    assert done == [None]


def test_closing_waits_for_answers_and_says_that_the_connection_ends() -> None:
    sample = Sample()
    pending = sample.client.start("GET", SYNC)
    done = closing(sample)
    assert done == []
    sample.api.waiting[0].callback({"next_batch": "1"})
    reply = pending.reply
    assert (reply.json, reply.headers["connection"]) == ({"next_batch": "1"}, "close")
    assert done == [None]


def test_closing_waits_only_so_long() -> None:
    sample = Sample()
    pending = sample.client.start("GET", SYNC)
    done = closing(sample, grace=5)
    sample.clock.advance(4)
    assert done == []
    sample.clock.advance(2)
    assert done == [None]
    assert pending.connection.closed
    assert sample.api.finished == ["@alice:test"]


def test_no_connection_is_taken_while_closing() -> None:
    sample = Sample()
    sample.client.start("GET", SYNC)
    closing(sample)
    assert MemoryConnection(sample.site).refused


def test_nothing_is_left_to_do_after_closing() -> None:
    sample = Sample()
    sample.client.get("/_matrix/client/v3/raw")
    closing(sample)
    assert sample.clock.twisted.getDelayedCalls() == []


def test_a_line_of_log_names_its_request() -> None:
    sample = Sample()
    merge = structlog.contextvars.merge_contextvars
    lines: list[MutableMapping[str, Any]] = []
    sample.api.before_chunk = lambda _chunk: lines.append(merge(None, "info", {"event": "x"}))
    sample.api.chunks = [b"a"]
    sample.client.get("/_matrix/media/v3/stream")
    pending = sample.client.start("POST", SLOW)
    _ = sample.api.waiting[0].addCallback(lambda _: lines.append(merge(None, "info", {"event": "y"})))
    sample.api.waiting[0].callback({})
    assert pending.reply.status == 200
    assert lines == [{"event": "x", "request_id": lines[0]["request_id"]}, {"event": "y"}]
