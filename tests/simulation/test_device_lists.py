"""Devices of a user as another server knows them, on a network that loses and cuts, with servers that die: in the end
they are known as they are.
"""

import random
from typing import Any

import pytest

from homeserver.gateways import connecting
from tests.harness.network import Weather
from tests.harness.postgres import TestDatabase
from tests.simulation.networked_servers import Person, Server, Simulation

IN_THE_END_S = 4 * 3600.0


class DeviceStory:
    """Bob, on one server, comes and goes with devices; Alice, on another, looks at them. All of it follows from the
    seed.
    """

    def __init__(self, world: Simulation, databases: tuple[TestDatabase, ...]) -> None:
        self.world = world
        self.chance = random.Random(world.seed)
        self.ours = world.server("alpha.example", databases[0])
        self.theirs = world.server("beta.example", databases[1])
        self.alice, self.bob = self.ours.person("alice"), self.theirs.person("bob")
        self.devices: list[tuple[Person, str]] = []
        self.room = str(self.alice.do("POST", "/createRoom", {"preset": "public_chat"})["room_id"])
        assert self.bob.join(self.room, self.ours).status == 200
        self.count = 0
        self.log_in()
        self.world.pass_time(10)

    def live(self, steps: int) -> None:
        """So many things happen, and time passes between them."""
        deeds = {
            self.log_in: 3,
            self.log_out: 2,
            self.change_keys: 5,
            self.look: 3,
            self.cut: 3,
            self.heal: 2,
            self.die: 2,
        }
        for _ in range(steps):
            self.chance.choices(list(deeds), list(deeds.values()))[0]()
            self.world.pass_time(self.chance.choice([0, 0, 0.01, 0.5, 5, 30]))

    def log_in(self) -> None:
        """Bob has another device."""
        self.count += 1
        device_id = f"DEVICE{self.count}"
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self.bob.user_id},
            "password": "correct horse",
            "device_id": device_id,
        }
        self.devices.append((Person(self.theirs, self.bob.do("POST", "/login", body)), device_id))
        self._upload(*self.devices[-1])

    def log_out(self) -> None:
        """Bob gives one up."""
        if self.devices:
            person, _ = self.devices.pop(self.chance.randrange(len(self.devices)))
            person.do("POST", "/logout")

    def change_keys(self) -> None:
        """One has other keys."""
        if self.devices:
            self._upload(*self.chance.choice(self.devices))

    def look(self) -> None:
        """Alice asks, whatever the answer is."""
        self.alice.ask("POST", "/keys/query", {"device_keys": {self.bob.user_id: []}, "timeout": 1000})

    def cut(self) -> None:
        """One does not reach the other."""
        one, other = self.chance.sample([self.ours.address, self.theirs.address], 2)
        self.world.network.cut_way(one, other)

    def heal(self) -> None:
        """They reach each other, and the weather changes."""
        self.world.network.heal()
        lost = self.chance.choice([0.0, 0.0, 0.2])
        self.world.network.weather = Weather(requests_lost=lost, answers_lost=lost)

    def die(self) -> None:
        """A server is killed, and comes again."""
        server = self.chance.choice([self.ours, self.theirs])
        server.kill()
        server.start()

    def seen(self, server: Server) -> Any:
        """Bob's devices as they are known to somebody's server, without asking another."""
        asking = self.alice if server is self.ours else self.bob
        found = asking.do("POST", "/keys/query", {"device_keys": {self.bob.user_id: []}})
        devices = found["device_keys"].get(self.bob.user_id, {})
        return {name: keys["keys"] for name, keys in devices.items()}

    def _upload(self, person: Person, device_id: str) -> None:
        self.count += 1
        keys = {
            "user_id": self.bob.user_id,
            "device_id": device_id,
            "algorithms": ["m.megolm.v1.aes-sha2"],
            "keys": {f"curve25519:{device_id}": f"key{self.count}"},
            "signatures": {},
        }
        person.do("POST", "/keys/upload", {"device_keys": keys})


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS has nothing to do with it."""
    monkeypatch.setattr(connecting, "wrapClientTLS", lambda tls, endpoint: endpoint)


@pytest.mark.parametrize("seed", range(6))
def test_devices_are_known_as_they_are_in_the_end(
    three_databases: tuple[TestDatabase, ...], seed: int
) -> None:
    for each in three_databases:
        each.empty()
    world = Simulation(seed)
    try:
        story = DeviceStory(world, three_databases)
        story.live(40)
        world.network.heal()
        world.network.weather = Weather()
        story.bob.say(story.room, "are you there?")
        story.alice.say(story.room, "I am")
        world.rest(IN_THE_END_S)
        kept = "select stale_since from remote_device_lists where user_id = %s"
        assert story.ours.database.rows(kept, story.bob.user_id) in ([(None,)], [])
        assert story.seen(story.ours) == story.seen(story.theirs)
        world.network.cut_way(story.ours.address, story.theirs.address)
        assert story.seen(story.ours) == story.seen(story.theirs)
    finally:
        world.close()
