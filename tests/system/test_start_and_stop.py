"""How the server starts, and how it ends when it is told to."""

import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.live_client import LiveUser
from tests.harness.process import HOST, ProcessFailed
from tests.system.conftest import MakeServer

POLLS = 20


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_long_polls_are_answered_when_the_server_is_told_to_end(
    make_server: MakeServer, signal_number: int
) -> None:
    server = make_server()
    server.start()
    user = server.register("alice")
    since = _settled(user)
    asking = threading.Barrier(POLLS + 1)

    def poll() -> str:
        asking.wait()
        return str(user.sync(since, 60_000)["next_batch"])

    with ThreadPoolExecutor(POLLS) as pool:
        polls = [pool.submit(poll) for _ in range(POLLS)]
        asking.wait()
        time.sleep(0.5)  # all of them wait by now
        assert not any(each.done() for each in polls)
        assert server.stop(signal_number) < 5
        assert {each.result(timeout=1) for each in polls} == {since}


def test_clients_that_keep_their_connection_do_not_hold_the_end_up(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    user = server.register("alice")
    user.sync()
    assert server.stop() < 5
    server.start()
    assert user.sync()["next_batch"]


def test_a_second_start_finds_what_was_there(make_server: MakeServer) -> None:
    server = make_server(embedded=True)
    server.start()
    room = server.register("alice").create()
    server.stop()
    server.start()
    alice = LiveUser.login(server.url, "alice", "correct horse battery")
    assert alice.members(room) == {alice.user_id}


def test_nothing_is_complained_of_in_a_quiet_life(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    user = server.register("alice")
    user.say(user.create(), "hello")
    server.stop()
    said = server.running.said()
    assert not [line for line in said.splitlines() if '"level":"error"' in line or "Traceback" in line]


def test_a_port_that_is_taken_is_named_in_the_last_line(make_server: MakeServer) -> None:
    server = make_server()
    with socket.socket() as taken:
        taken.bind((HOST, server.port))
        with pytest.raises(ProcessFailed, match="status 1"):
            server.start()
    last = server.running.said().splitlines()[-1]
    assert last.startswith(f"homeserver: Cannot listen on {HOST}:{server.port}: Address already in use")


def _settled(user: LiveUser) -> str:
    """A token after which nothing happens by itself."""
    since = None
    while True:
        answer = user.sync(since, 300)
        if since == answer["next_batch"]:
            return str(answer["next_batch"])
        since = str(answer["next_batch"])
