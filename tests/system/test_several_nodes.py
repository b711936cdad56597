"""Two real nodes over one PostgreSQL and a real Redis: they hear each other, and each goes on without the other, or
without Redis.
"""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.harness.live_client import V3, LiveUser, Requests, eventually
from tests.harness.postgres import TestServer
from tests.harness.process import HomeserverProcess, ProcessFailed
from tests.harness.redis import RedisServer
from tests.system.conftest import MakeServer


@pytest.fixture
def redis(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    yield server
    server.kill()


@pytest.fixture
def nodes(
    folder: Path, postgres: TestServer, redis: RedisServer
) -> Iterator[tuple[HomeserverProcess, HomeserverProcess]]:
    dsn = postgres.create_database()
    shared = {
        "bus": {"redis": redis.url},
        "signing_key_path": str(folder / "signing.key"),
        "media": {"path": str(folder / "media")},
    }
    first, second = (HomeserverProcess(folder / name, dsn, settings=shared) for name in ("first", "second"))
    first.start()
    second.start()
    yield first, second
    first.discard()
    second.discard()


def test_nodes_hear_each_other_and_one_goes_on_alone(
    nodes: tuple[HomeserverProcess, HomeserverProcess], redis: RedisServer
) -> None:
    first, second = nodes
    anna = first.register("anna")
    bert = first.register("bert")
    room = anna.http.call("POST", f"{V3}/createRoom", {"preset": "public_chat"})["room_id"]
    there = LiveUser(second.url, bert.user_id, bert.token)
    there.http.call("POST", f"{V3}/join/{room}", {})
    hears(anna, there, room, "over the bus")
    both_write_at_once(anna, there, room)
    goes_on_without_redis(nodes, redis, anna, there, room)

    # Who logs out at one is logged out at the other.
    other = LiveUser.login(first.url, "bert", "correct horse battery")
    assert is_logged_in(second, other)
    other.http.call("POST", f"{V3}/logout")
    eventually(lambda: not is_logged_in(second, other), what="the end of the session")

    # One is killed; the other has everything and goes on.
    say(anna, room, "last words")
    first.kill()
    assert "last words" in texts(there, room)
    say(there, room, "I go on")
    moved = LiveUser(second.url, anna.user_id, anna.token)
    assert "I go on" in texts(moved, room)


def hears(anna: LiveUser, there: LiveUser, room: str, text: str) -> None:
    """A long poll at one node is woken by a message at the other."""
    poll = Poll(there, there.http.call("GET", f"{V3}/sync")["next_batch"])
    say(anna, room, text)
    poll.heard(room, text)


def both_write_at_once(anna: LiveUser, there: LiveUser, room: str) -> None:
    """Nothing is lost."""
    writers = [threading.Thread(target=say_much, args=(who, room)) for who in (anna, there)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    said = {f"{who.url} {number}" for who in (anna, there) for number in range(20)}
    eventually(
        lambda: said <= set(texts(anna, room)) and said <= set(texts(there, room)), what="all messages"
    )


def goes_on_without_redis(
    nodes: tuple[HomeserverProcess, HomeserverProcess],
    redis: RedisServer,
    anna: LiveUser,
    there: LiveUser,
    room: str,
) -> None:
    """News come a second later, and at once when it is back."""
    redis.kill()
    hears(anna, there, room, "without Redis")
    redis.start()
    for node in nodes:
        eventually(partial(is_connected, node), what="the bus")
    hears(anna, there, room, "with Redis again")


def test_a_second_node_on_an_embedded_postgresql_refuses(make_server: MakeServer, folder: Path) -> None:
    first = make_server("embedded", embedded=True)
    first.start()
    second = HomeserverProcess(
        folder / "second", None, settings={"data_dir": str(folder / "embedded" / "data")}
    )
    try:
        with pytest.raises(ProcessFailed, match="several-nodes"):
            second.start()
    finally:
        second.discard()


class Poll:
    """A long poll in a thread of its own."""

    def __init__(self, who: LiveUser, since: str) -> None:
        self.answer: dict[str, Any] = {}
        self._who, self._since = who, since
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def heard(self, room: str, text: str) -> None:
        """Wait until something is told."""
        self._thread.join(20)
        told = [
            event["content"].get("body") for event in self.answer["rooms"]["join"][room]["timeline"]["events"]
        ]
        assert text in told

    def _run(self) -> None:
        while "rooms" not in self.answer:
            answer = self._who.http.call("GET", f"{V3}/sync", since=self._since, timeout=15_000)
            self.answer, self._since = answer, answer["next_batch"]


def say(who: LiveUser, room: str, text: str) -> None:
    body = {"msgtype": "m.text", "body": text}
    who.http.call(
        "PUT", f"{V3}/rooms/{room}/send/m.room.message/{text.replace('/', '').replace(' ', '-')}", body
    )


def say_much(who: LiveUser, room: str) -> None:
    for number in range(20):
        say(who, room, f"{who.url} {number}")


def is_logged_in(node: HomeserverProcess, who: LiveUser) -> bool:
    return Requests(node.url, who.token).request("GET", f"{V3}/account/whoami")[0] == 200


def is_connected(node: HomeserverProcess) -> bool:
    return measured(node, "meridian_bus_connected") == 1


def texts(who: LiveUser, room: str) -> list[str]:
    chunk = who.http.call("GET", f"{V3}/rooms/{room}/messages", dir="b", limit=100)["chunk"]
    return [event["content"]["body"] for event in chunk if "body" in event["content"]]


def measured(node: HomeserverProcess, name: str) -> float:
    _, page = Requests(node.url).request("GET", "/metrics")
    (line,) = [line for line in str(page).splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])
