"""Servers on a network that loses, delays and cuts: whatever their users do, they end in equal state."""

import random
from typing import Any

import pytest

from tests.federation.homeservers import internet, three_databases
from tests.federation.whole_servers import Person, WholeServer, World, eventually, in_world
from tests.harness.postgres import postgres

__all__ = ["internet", "postgres", "three_databases"]


class Story:
    """What happens in one run; all of it follows from the seed."""

    def __init__(self, world: World, seed: int, servers: list[WholeServer]) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.servers = servers
        self.people: list[Person] = []
        self.cut: set[WholeServer] = set()
        self.said: set[str] = set()
        self.differences: list[str] = []
        self.count = 0
        self.room = ""

    async def begin(self) -> None:
        """One user a server and one more, all in one room."""
        for number, server in enumerate([*self.servers, self.servers[0]]):
            self.people.append(await server.person(f"user{number}"))
        levels = {"users": {person.user_id: 100 for person in self.people}}
        self.room = await self.people[0].create(
            preset="public_chat", room_version="10", power_level_content_override=levels
        )
        for person in self.people[1:]:
            await person.join(self.room, self.servers[0])

    async def step(self) -> None:
        """One thing happens."""
        what = self.chance.choices(
            [self.talk, self.rename, self.leave_and_return, self.cut_off, self.reconnect, self.restart],
            [12, 4, 2, 2, 3, 1],
        )[0]
        await what()

    async def talk(self) -> None:
        """Somebody says something."""
        self.count += 1
        text = f"message {self.count}"
        person = self.chance.choice(self.people)
        reply = await self.ask(person, "send/m.room.message/" + self.world.transaction(), {"body": text})
        if reply.status == 200:
            self.said.add(text)

    async def rename(self) -> None:
        """Somebody changes the room's name or topic: state that may be in conflict."""
        self.count += 1
        kind = self.chance.choice(["name", "topic"])
        person = self.chance.choice(self.people)
        await self.ask(person, f"state/m.room.{kind}/", {kind: f"{kind} {self.count}"})

    async def leave_and_return(self) -> None:
        """Somebody who is not alone on their server leaves, or comes back."""
        person = self.chance.choice((self.people[0], self.people[-1]))
        other = self.people[-1] if person is self.people[0] else self.people[0]
        members = await other.do("GET", f"/rooms/{self.room}/joined_members")
        if person.user_id in members["joined"] and other.user_id in members["joined"]:
            await person.ask("POST", f"/rooms/{self.room}/leave", {})
            await person.try_join(self.room)

    async def cut_off(self) -> None:
        """A server cannot be reached; it can still reach the others."""
        server = self.chance.choice(self.servers)
        server.cut_off()
        self.cut.add(server)

    async def reconnect(self) -> None:
        """The servers that were cut off can be reached again."""
        for server in self.cut:
            server.reconnect()
        self.cut.clear()
        self.hear_from_each_other()

    async def restart(self) -> None:
        """A server restarts."""
        server = self.chance.choice(self.servers)
        await server.stop()
        await server.start()
        self.cut.discard(server)

    def hear_from_each_other(self) -> None:
        """Servers that were thought to be away are tried again at once."""
        for server in self.servers:
            for other in self.servers:
                server.app.transport.health._woken.clear()
                server.app.transport.health.heard_from(other.name)

    async def ask(self, person: Person, what: str, body: Any) -> Any:
        """Do something in the room."""
        return await person.ask("PUT", f"/rooms/{self.room}/{what}", body)

    async def end(self) -> None:
        """The network is well again, and people go on talking: all become equal.

        A server that hears of another's join only now has not sent it what it said before: that is found by
        way of what it says next.
        """
        await self.reconnect()
        for _ in range(4):
            for person in self.people:
                await self.talk_as(person)
            try:
                await eventually(self.are_equal, 60)
            except AssertionError:
                continue
            return
        raise AssertionError(self.differences)

    async def talk_as(self, person: Person) -> None:
        """Somebody says something that all must hear."""
        self.count += 1
        text = f"message {self.count}"
        await person.say(self.room, text)
        self.said.add(text)

    async def are_equal(self) -> bool:
        """Whether all servers have the same state and everything that was said."""
        self.hear_from_each_other()
        self.differences = []
        states = []
        for person in self.people[: len(self.servers)]:
            texts = {text for text in await person.texts(self.room, 1000) if text.startswith("message")}
            if texts != self.said:
                self.differences.append(f"{person.user_id}: {sorted(texts ^ self.said)}")
            states.append(await person.state(self.room))
        self.differences += [f"{key}" for key in states[0] if len({state.get(key) for state in states}) > 1]
        return not self.differences and all(state == states[0] for state in states)


@pytest.mark.usefixtures("internet")
class TestLossyNetwork(World):
    """Two or three servers."""

    timeout = 180

    async def _live(self, seed: int, names: list[str], steps: int) -> None:
        story = Story(self, seed, [await self.server(f"{name}.example") for name in names])
        await story.begin()
        for _ in range(steps):
            await story.step()
        await story.end()

    @in_world
    async def test_two_servers_end_in_equal_state(self) -> None:
        await self._live(1, ["alpha", "beta"], 60)

    @in_world
    async def test_three_servers_end_in_equal_state(self) -> None:
        await self._live(2, ["alpha", "beta", "gamma"], 80)

    @in_world
    async def test_three_servers_end_in_equal_state_after_another_story(self) -> None:
        await self._live(3, ["alpha", "beta", "gamma"], 80)
