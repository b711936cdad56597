"""A server speaks for its own users alone: what it says of others' in EDUs changes nothing.

https://spec.matrix.org/v1.19/server-server-api/#edus
"""

from typing import Any

import pytest

from tests.federation.test_hostile_events import Victims
from tests.harness.postgres import TestDatabase
from tests.simulation.networked_servers import Person, Simulation


class Others:
    """Alice on the server that is spoken to, Bob on another, and Eve, all in one room."""

    def __init__(self, world: Simulation, databases: tuple[TestDatabase, ...]) -> None:
        self.victims = Victims(world, databases)
        self.alice = self.victims.alice
        self.beta = world.server("beta.example", databases[1])
        self.bob = self.beta.person("bob")
        self.room, _ = self.victims.room("10")
        assert self.bob.ask("POST", f"/join/{self.room}", {}, {"via": "alpha.example"}).status == 200
        self.world = world
        self.upload(self.bob)
        world.pass_time(5)
        self.query()

    def upload(self, person: Person) -> None:
        """Keys of a device, and those that sign them."""
        keys = {
            "user_id": person.user_id,
            "device_id": person.device_id,
            "algorithms": ["m.megolm.v1.aes-sha2"],
            "keys": {f"ed25519:{person.device_id}": "real"},
            "signatures": {person.user_id: {f"ed25519:{person.device_id}": "real"}},
        }
        person.do("POST", "/keys/upload", {"device_keys": keys})

    def query(self) -> Any:
        """What Alice is told of Bob's devices."""
        answer = self.alice.do("POST", "/keys/query", {"device_keys": {self.bob.user_id: []}})
        assert answer["failures"] == {}
        return {name: answer[name] for name in ("device_keys", "master_keys", "self_signing_keys")}

    def said(self) -> Any:
        """All that Alice's sync tells that could be of it."""
        self.world.pass_time(1)
        answer = self.alice.do("GET", "/sync", None, {"timeout": 0})
        room = answer["rooms"]["join"][self.room]
        return {
            "to_device": answer.get("to_device"),
            "presence": [
                each
                for each in answer.get("presence", {}).get("events", [])
                if each["sender"] == self.bob.user_id
            ],
            "ephemeral": room.get("ephemeral"),
            "devices": self.query(),
        }


def edus(user: str, device: str, alice: str, alices_device: str, room: str, event_id: str) -> dict[str, Any]:
    """What might be said of somebody, by type."""
    key = {"user_id": user, "usage": ["master"], "keys": {"ed25519:forged": "forged"}}
    return {
        "m.device_list_update": {
            "user_id": user,
            "device_id": device,
            "stream_id": 99,
            "prev_id": [],
            "keys": {
                "user_id": user,
                "device_id": device,
                "algorithms": [],
                "keys": {f"ed25519:{device}": "forged"},
                "signatures": {},
            },
        },
        "m.signing_key_update": {
            "user_id": user,
            "master_key": key,
            "self_signing_key": {**key, "usage": ["self_signing"]},
        },
        "m.direct_to_device": {
            "sender": user,
            "type": "m.room_key_request",
            "message_id": "forged",
            "messages": {alice: {alices_device: {"action": "forged"}}},
        },
        "m.presence": {"push": [{"user_id": user, "presence": "online", "last_active_ago": 0}]},
        "m.typing": {"room_id": room, "user_id": user, "typing": True},
        "m.receipt": {room: {"m.read": {user: {"data": {"ts": 1}, "event_ids": [event_id]}}}},
    }


@pytest.mark.parametrize("speaks_for", ["another server's", "ours"])
def test_what_a_server_says_of_others_users_changes_nothing(
    world: Simulation, three_databases: tuple[TestDatabase, ...], speaks_for: str
) -> None:
    others = Others(world, three_databases)
    alice, bob, victims = others.alice, others.bob, others.victims
    event_id = alice.say(others.room, "hello")
    assert event_id is not None
    before = others.said()
    assert before["devices"]["device_keys"][bob.user_id].keys() == {bob.device_id}
    whose = bob if speaks_for == "another server's" else alice
    for edu_type, content in edus(
        whose.user_id, bob.device_id, alice.user_id, alice.device_id, others.room, event_id
    ).items():
        victims.evil.send(victims.alpha, edus=[{"edu_type": edu_type, "content": content}])
        assert others.said() == before, edu_type


def test_what_it_says_of_its_own_user_is_heard(
    world: Simulation, three_databases: tuple[TestDatabase, ...]
) -> None:
    others = Others(world, three_databases)
    alice, victims = others.alice, others.victims
    event_id = alice.say(others.room, "hello")
    assert event_id is not None
    before = others.said()
    eve = victims.evil.user_id
    for edu_type, content in edus(eve, "EVE", alice.user_id, alice.device_id, others.room, event_id).items():
        victims.evil.send(victims.alpha, edus=[{"edu_type": edu_type, "content": content}])
    after = others.said()
    assert {event["type"] for event in after["ephemeral"]["events"]} == {"m.typing", "m.receipt"}
    (message,) = after["to_device"]["events"]
    assert (message["sender"], message["content"]) == (eve, {"action": "forged"})
    assert after["devices"] == before["devices"]
