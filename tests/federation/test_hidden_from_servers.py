"""What another server may not have, it gets nowhere: every way in which servers read a room."""

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import quote

import pytest

from tests.federation.pdu_server import RoomOfPdus
from tests.harness.client import Reply
from tests.harness.postgres import TestDatabase
from tests.simulation.hostile_server import V1, HostileServer
from tests.simulation.networked_servers import Person, Server, Simulation

SECRET: Final = "secret"


class Scene:
    """Alice's room, and a server that is kept out of it in one way or another."""

    def __init__(self, world: Simulation, databases: tuple[TestDatabase, ...], visibility: str) -> None:
        self.alpha: Server = world.server("alpha.example", databases[0])
        self.alice: Person = self.alpha.person("alice")
        self.evil = HostileServer(world)
        state = {
            "type": "m.room.history_visibility",
            "state_key": "",
            "content": {"history_visibility": visibility},
        }
        wishes = {"preset": "public_chat", "initial_state": [state]}
        self.room = str(self.alice.do("POST", "/createRoom", wishes)["room_id"])
        self.before = self.say("open")
        self.joined: RoomOfPdus | None = None

    def say(self, text: str) -> str:
        """Alice says something; the event's ID."""
        said = self.alice.say(self.room, text)
        assert said is not None
        return said

    def set_topic(self) -> str:
        """Alice sets a secret topic; the event's ID."""
        return str(
            self.alice.set_state(self.room, "m.room.topic", {"topic": "secret topic"}).json["event_id"]
        )

    def reads(self, *event_ids: str) -> Iterator[tuple[str, Reply]]:
        """Everything that the server may ask."""
        for event_id in event_ids:
            at = quote(event_id, safe="")
            for path in (
                f"event/{at}",
                f"event_auth/{self.room}/{at}",
                f"state/{self.room}?event_id={at}",
                f"state_ids/{self.room}?event_id={at}",
                f"backfill/{self.room}?v={at}&limit=50",
            ):
                yield path, self.evil.ask(self.alpha, "GET", f"{V1}/{path}")
            wanted = {"earliest_events": [self.before], "latest_events": [event_id], "limit": 50}
            path = f"get_missing_events/{self.room}"
            yield path, self.evil.ask(self.alpha, "POST", f"{V1}/{path}", wanted)
        path = f"timestamp_to_event/{self.room}?ts=9999999999999&dir=b"
        yield path, self.evil.ask(self.alpha, "GET", f"{V1}/{path}")


def never_there(scene: Scene) -> None:
    """The server only knows the room's ID."""


def left(scene: Scene) -> None:
    room = scene.evil.join(scene.alpha, scene.room)
    leave = room.event("m.room.member", {"membership": "leave"}, state_key=scene.evil.user_id)
    assert scene.evil.send(scene.alpha, leave) == {leave.event_id: {}}


def kicked(scene: Scene) -> None:
    scene.evil.join(scene.alpha, scene.room)
    assert scene.alice.act(scene.room, "kick", user_id=scene.evil.user_id).status == 200


def banned(scene: Scene) -> None:
    scene.evil.join(scene.alpha, scene.room)
    assert scene.alice.act(scene.room, "ban", user_id=scene.evil.user_id).status == 200


def kept_out(scene: Scene) -> None:
    scene.evil.join(scene.alpha, scene.room)
    acl = {"allow": ["*"], "deny": ["evil.example"]}
    assert scene.alice.set_state(scene.room, "m.room.server_acl", acl).status == 200


@pytest.mark.parametrize("keep_out", [never_there, left, kicked, banned, kept_out])
@pytest.mark.parametrize("visibility", ["shared", "joined"])
def test_a_server_that_is_not_in_the_room_gets_nothing(
    world: Simulation,
    three_databases: tuple[TestDatabase, ...],
    visibility: str,
    keep_out: Callable[[Scene], None],
) -> None:
    scene = Scene(world, three_databases, visibility)
    keep_out(scene)
    said, topic = scene.say("secret message"), scene.set_topic()
    for path, reply in scene.reads(said, topic):
        assert SECRET not in reply.text, f"{path}: {reply.text}"
        assert reply.status in (403, 404), f"{path}: {reply.status} {reply.text}"


def test_what_was_said_before_its_users_came_is_redacted_for_a_server(
    world: Simulation, three_databases: tuple[TestDatabase, ...]
) -> None:
    scene = Scene(world, three_databases, "joined")
    said = scene.say("secret message")
    room = scene.evil.join(scene.alpha, scene.room)
    after = scene.say("open again")
    assert room.last.event_id
    seen = list(scene.reads(said, after))
    for path, reply in seen:
        assert SECRET not in reply.text, f"{path}: {reply.text}"
    for kind in ("event/", "backfill/"):
        texts = [reply.text for path, reply in seen if path.startswith(kind) and reply.status == 200]
        assert any("open again" in text for text in texts), f"{kind} keeps back what the server may see"
    redacted = [reply.json for path, reply in seen if path == f"event/{quote(said, safe='')}"]
    assert [pdu["content"] for answer in redacted for pdu in answer["pdus"]] == [{}]
