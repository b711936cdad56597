"""Delayed events of a server that is killed: each is sent, and once."""

import json
from urllib.parse import urlencode

from tests.harness.live_client import LiveUser, eventually, room_path
from tests.system.conftest import MakeServer

EVENTS = 40


def test_a_killed_server_sends_what_was_scheduled_once(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    alice = server.register("alice")
    room = alice.create()
    for number in range(EVENTS):
        _schedule(alice, room, str(number), 1000 + 50 * number)
    eventually(lambda: len(alice.texts(room)) >= 5, what="some sent")
    server.kill()
    server.start()
    # The lease of the one that was killed has to run out.
    eventually(lambda: len(alice.texts(room)) >= EVENTS, seconds=90, what="all sent")
    said = alice.texts(room)
    assert sorted(map(int, said)) == list(range(EVENTS)), json.dumps(said)


def _schedule(alice: LiveUser, room: str, text: str, delay_ms: int) -> None:
    path = room_path(room, "send", "m.room.message", f"d{text}")
    query = urlencode({"org.matrix.msc4140.delay": delay_ms})
    assert alice.http.call("PUT", f"{path}?{query}", {"msgtype": "m.text", "body": text})["delay_id"]
