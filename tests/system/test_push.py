"""A push gateway beside a real server: a phone is told what happens, and misses nothing when the server is killed."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.harness.live_client import V3, LiveUser, eventually, room_path
from tests.harness.process import HomeserverProcess
from tests.harness.push_gateway import PushGatewayProcess
from tests.system.conftest import MakeServer


@pytest.fixture
def gateway(folder: Path) -> Iterator[PushGatewayProcess]:
    made = PushGatewayProcess(folder)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def server(make_server: MakeServer) -> HomeserverProcess:
    settings = {"push": {"allow_http": True}, "federation": {"allow_networks": ["127.0.0.0/8"]}}
    made: HomeserverProcess = make_server(settings=settings)
    made.start()
    return made


def set_pusher(user: LiveUser, url: str, **data: Any) -> None:
    body = {
        "kind": "http",
        "app_id": "org.example.app",
        "pushkey": user.user_id,
        "app_display_name": "App",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": url, **data},
    }
    user.http.call("POST", f"{V3}/pushers/set", body)


def send(user: LiveUser, room: str, kind: str, **content: Any) -> str:
    path = room_path(room, "send", kind, f"t{time.time_ns()}")
    return str(user.http.call("PUT", path, content)["event_id"])


def read(user: LiveUser, room: str, event_id: str) -> None:
    user.http.call("POST", room_path(room, "receipt", "m.read", event_id), {})


def awaited(gateway: PushGatewayProcess, number: int, seconds: float = 20.0) -> list[Any]:
    """The pushes, once there are so many."""
    eventually(lambda: len(gateway.pushes()) >= number, seconds, f"{number} pushes")
    return gateway.pushes()


def test_a_phone_is_told_of_invites_messages_mentions_and_secrets(
    server: HomeserverProcess, gateway: PushGatewayProcess
) -> None:
    anna, ben, carl = (server.register(name) for name in ("anna", "ben", "carl"))
    set_pusher(anna, gateway.url)
    talk = ben.create(preset="private_chat", is_direct=True, invite=[anna.user_id])
    (invite,) = awaited(gateway, 1)
    assert (invite["membership"], invite["counts"]) == ("invite", {"unread": 1})
    anna.join(talk)
    assert awaited(gateway, 2)[1]["counts"] == {"unread": 0}
    direct = send(ben, talk, "m.room.message", msgtype="m.text", body="hello")
    push = awaited(gateway, 3)[2]
    assert (push["event_id"], push["prio"], push["counts"]) == (direct, "high", {"unread": 1})
    group = ben.create(preset="public_chat", name="Group")
    for person in (anna, carl):
        person.join(group)
    mentions = {"user_ids": [anna.user_id]}
    send(carl, group, "m.room.message", msgtype="m.text", body="anna!", **{"m.mentions": mentions})
    push = awaited(gateway, 4)[3]
    assert push["devices"][0]["tweaks"] == {"sound": "default", "highlight": True}
    assert (push["room_name"], push["counts"]) == ("Group", {"unread": 2})
    secret = send(carl, group, "m.room.encrypted", algorithm="m.megolm.v1.aes-sha2", ciphertext="x")
    push = awaited(gateway, 5)[4]
    assert (push["type"], push["prio"], push["counts"]) == ("m.room.encrypted", "high", {"unread": 3})
    read(anna, group, secret)
    assert awaited(gateway, 6)[5]["counts"] == {"unread": 1}


def nodes(server: HomeserverProcess) -> set[str]:
    """Those that hold leases."""
    assert server.dsn is not None
    with closing(psycopg2.connect(server.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("select holder from leases")
        return {str(holder).rpartition(" ")[2] for (holder,) in cursor.fetchall()}


def test_nothing_is_missed_when_the_server_is_killed(
    server: HomeserverProcess, gateway: PushGatewayProcess
) -> None:
    """The process that starts takes the lease of the killed one over."""
    anna, ben = server.register("anna"), server.register("ben")
    set_pusher(anna, gateway.url, format="event_id_only")
    room = ben.create(preset="public_chat")
    anna.join(room)
    sent = []
    for _ in range(3):
        sent += [ben.say(room, f"message {number}") for number in range(5)]
        killed = nodes(server)
        server.kill()
        server.start()
        assert not killed & nodes(server)
    sent.append(ben.say(room, "the last one"))
    eventually(lambda: set(sent) <= {each.get("event_id") for each in gateway.pushes()}, 120, "all pushes")
    read(anna, room, sent[-1])
    eventually(lambda: gateway.pushes()[-1]["counts"] == {"unread": 0}, what="the badge")
    pushed = [each["event_id"] for each in gateway.pushes() if "event_id" in each]
    assert sorted(dict.fromkeys(pushed), key=pushed.index) == sent, "in order, whatever was pushed twice"
