"""Servers on a network that loses, delays and cuts: whatever their users do, they end in equal state."""

import random
from collections.abc import Iterator

import pytest

from homeserver.gateways import connecting
from homeserver.services.rooms.stored_event import Status
from tests.harness.network import Weather
from tests.harness.postgres import TestDatabase
from tests.simulation.networked_servers import Person, Simulation

NAMES = ("alpha.example", "beta.example", "gamma.example")


class Story:
    """What happens in one run; all of it follows from the seed.

    On each server somebody stays in the room all the time and somebody comes and goes. What those who stay say
    must be heard by all of them; what those say who come and go depends on whether they were seen to be there.
    """

    def __init__(self, world: Simulation, databases: tuple[TestDatabase, ...], servers: int) -> None:
        self.world = world
        self.chance = random.Random(world.seed)
        self.servers = [
            world.server(name, database) for name, database in zip(NAMES[:servers], databases, strict=False)
        ]
        self.staying = [server.person("staying") for server in self.servers]
        self.moving = [server.person("moving") for server in self.servers]
        self.said: set[str] = set()
        self.log: list[str] = []
        self.count = 0
        version = self.chance.choice(["6", "10", "12"])
        founder, *others = self.staying
        levels = {"users": {person.user_id: 100 for person in others}}
        if version != "12":
            levels["users"][founder.user_id] = 100
        wishes = {
            "preset": "public_chat",
            "room_version": version,
            "power_level_content_override": levels,
        }
        self.room = str(founder.do("POST", "/createRoom", wishes)["room_id"])
        for person in others:
            assert person.join(self.room, self.servers[0]).status == 200
        self.world.pass_time(10)
        self._before = set(self.servers[0].events(self.room))
        for person in self.staying:
            person.sync(self.room)

    def live(self, steps: int) -> None:
        """So many things happen, and time passes between them."""
        deeds = {
            self.talk: 12,
            self.rename: 4,
            self.empower: 3,
            self.come: 4,
            self.go: 3,
            self.ban: 3,
            self.pardon: 3,
            self.listen: 3,
            self.cut: 3,
            self.heal: 2,
            self.change_weather: 3,
            self.restart: 1,
            self.die: 2,
        }
        for _ in range(steps):
            deed = self.chance.choices(list(deeds), list(deeds.values()))[0]
            self.log.append(f"{self.world.clock.seconds():.3f} {deed.__name__}")
            deed()
            self.world.pass_time(self.chance.choice([0, 0, 0.01, 0.1, 0.5, 2, 5, 30]))

    # What people do.

    def talk(self) -> None:
        """Somebody says something."""
        self.say(self.chance.choice([*self.staying, *self.staying, *self.moving]))

    def say(self, person: Person) -> None:
        """Somebody says something; if it is one of those who stay, all must hear it."""
        self.count += 1
        event_id = person.say(self.room, f"message {self.count}")
        if event_id is not None and person in self.staying:
            self.said.add(event_id)

    def rename(self) -> None:
        """Somebody changes the room's name or topic: state that may be in conflict."""
        self.count += 1
        kind = self.chance.choice(["name", "topic"])
        person = self.chance.choice([*self.staying, *self.moving])
        person.set_state(self.room, f"m.room.{kind}", {kind: f"{kind} {self.count}"})

    def empower(self) -> None:
        """Somebody gives power to one who comes and goes, or takes it."""
        person, other = self.chance.choice(self.staying), self.chance.choice(self.moving)
        path = f"/rooms/{self.room}/state/m.room.power_levels/"
        levels = person.do("GET", path)
        levels["users"][other.user_id] = self.chance.choice([0, 50])
        person.set_state(self.room, "m.room.power_levels", levels)

    def come(self) -> None:
        """Somebody joins, perhaps by way of another server."""
        self.chance.choice(self.moving).join(self.room, self.chance.choice(self.servers))

    def go(self) -> None:
        """Somebody leaves."""
        self.chance.choice(self.moving).act(self.room, "leave")

    def ban(self) -> None:
        """Somebody is banned or thrown out, and may be talking just then."""
        person, other = self.chance.choice(self.staying), self.chance.choice(self.moving)
        person.act(self.room, self.chance.choice(["ban", "kick"]), user_id=other.user_id)

    def pardon(self) -> None:
        """Somebody is invited, or may come again."""
        person, other = self.chance.choice(self.staying), self.chance.choice(self.moving)
        person.act(self.room, self.chance.choice(["unban", "invite"]), user_id=other.user_id)

    def listen(self) -> None:
        """Somebody's client syncs."""
        self.chance.choice(self.staying).sync(self.room)

    # What happens to servers and between them.

    def cut(self) -> None:
        """A server does not reach another, or none, or is not reached by any."""
        here = self.chance.choice(self.servers)
        others = [server for server in self.servers if server is not here]
        for other in self.chance.choice([others, others[:1]]):
            if self.chance.random() < 0.7:
                self.world.network.cut_way(here.address, other.address)
            if self.chance.random() < 0.7:
                self.world.network.cut_way(other.address, here.address)

    def heal(self) -> None:
        """The network is well."""
        self.world.network.heal()

    def change_weather(self) -> None:
        """It is more or less bad."""
        self.world.network.weather = Weather(
            self.chance.choice([0, 0.1, 0.4]),
            self.chance.choice([0, 0.1, 0.4]),
            self.chance.choice([0, 0.2, 3.0]),
        )

    def restart(self) -> None:
        """A server restarts in order."""
        server = self.chance.choice(self.servers)
        server.stop()
        server.start()

    def die(self) -> None:
        """A server is killed, and is there again after a while."""
        server = self.chance.choice(self.servers)
        server.kill()
        self.world.pass_time(self.chance.choice([0, 1, 20]))
        server.start()

    # The end.

    def end(self) -> None:
        """The network is well again. A server that hears of another's join only now has not sent it what it said
        before: that is found by way of what it says next. One last message then stands on everything.
        """
        self.heal()
        self.world.rest(3600)
        for person in self.staying:
            self.say(person)
        self.world.rest(600)
        self.say(self.staying[-1])
        self.world.rest(600)
        for person in self.staying:
            person.sync(self.room)

    def accepted(self) -> set[str]:
        """The events that some server took, since all were in the room: the others must know them, too. One that
        the author's own server did not take goes nowhere, as an invite does that came back too late.
        """
        every = [event for server in self.servers for event in server.events(self.room).items()]
        return {event_id for event_id, status in every if status == Status.ACCEPTED} - self._before

    def assert_equal(self) -> None:
        """All servers have the same, and all clients were told everything once."""
        extremities = self.servers[0].extremities(self.room)
        for server in self.servers:
            missing = self.accepted() - server.events(self.room).keys()
            assert not missing, f"{server.name} has not had {missing}"
            assert server.extremities(self.room) == extremities, server.name
        state = self.staying[0].state(self.room)
        for person in self.staying:
            assert person.state(self.room) == state, person.user_id
            missing = {event_id for event_id in self.said if person.heard[event_id] == 0}
            assert not missing, f"{person.user_id} did not hear {missing}"
            twice = {event_id for event_id, times in person.heard.items() if times > 1}
            assert not twice, f"{person.user_id} heard {twice} again"


@pytest.fixture
def world(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, three_databases: tuple[TestDatabase, ...]
) -> Iterator[Simulation]:
    """An empty world. Its network carries plain text: Twisted's TLS has timers of the real reactor."""
    monkeypatch.setattr(connecting, "wrapClientTLS", lambda tls, endpoint: endpoint)
    for database in three_databases:
        database.empty()
    made = Simulation(request.param)
    yield made
    made.close()


@pytest.mark.parametrize("world", range(8), indirect=True)
def test_servers_on_a_lossy_network_end_in_equal_state(
    world: Simulation, three_databases: tuple[TestDatabase, ...]
) -> None:
    story = Story(world, three_databases, 2 + world.seed % 2)
    story.live(60)
    story.end()
    story.assert_equal()
