"""Several nodes of one server, and another server: one of them sends to it, what happens on all of them."""

import pytest
from twisted.internet.defer import Deferred

from homeserver.bus import Bus
from tests.federation.whole_servers import Person, WholeServer, World, eventually, in_world
from tests.harness.bus import MemoryBus, MemoryExchange
from tests.harness.postgres import TestDatabase


class Node(WholeServer):
    """One node of a server."""

    memory: MemoryBus

    def __init__(self, world: World, database: TestDatabase, exchange: MemoryExchange, number: int) -> None:
        super().__init__(world, "alpha.example", database, "presence: {federate: true}\n")
        self._starts = 100 * number
        self._exchange = exchange

    def bus(self) -> Bus:
        """The bus of all nodes."""
        self.memory = self._exchange.bus(f"node{self._starts}")
        return self.memory

    async def stop(self) -> None:
        """Stop it in order."""
        await super().stop()
        self.memory.cut()

    def at(self, person: Person) -> Person:
        """Somebody who talks to this node."""
        return Person(self, {"user_id": person.user_id, "access_token": person.token})


@pytest.mark.usefixtures("internet")
class TestSeveralNodes(World):
    """Two nodes of alpha, and beta, which finds the one that was started last."""

    async def nodes(self) -> tuple[Node, Node]:
        exchange, database = MemoryExchange(self.clock), self._free.pop()
        nodes = [Node(self, database, exchange, number) for number in (1, 2)]
        for node in nodes:
            self.addCleanup(self.discard, node)
            await node.start()
        return nodes[0], nodes[1]

    def discard(self, node: Node) -> "Deferred[None]":
        """It is gone."""
        return Deferred.fromCoroutine(node.discard())

    @in_world
    async def test_one_node_sends_what_happens_on_all_and_another_goes_on(self) -> None:
        first, second = await self.nodes()
        beta = await self.server("beta.example", "presence: {federate: true}\n")
        anna, carla = await first.person("anna"), await beta.person("carla")
        room = await anna.public_room()
        await carla.join(room, first)
        there = second.at(anna)
        assert [first.app.federation.sender.is_sending, second.app.federation.sender.is_sending] == [
            True,
            False,
        ]

        await anna.say(room, "from the first")
        await there.say(room, "from the second")
        await carla.hears(room, "from the second")
        await carla.say(room, "from beta")
        await anna.hears(room, "from beta")
        await there.hears(room, "from beta")

        # Typing that the second node hears of goes out through the first.
        path = f"/rooms/{room}/typing/{anna.user_id}"
        await there.do("PUT", path, {"typing": True, "timeout": 30_000})

        async def types() -> bool:
            ephemeral = (await carla.rooms("join"))[room]["ephemeral"]["events"]
            return any(event["content"].get("user_ids") == [anna.user_id] for event in ephemeral)

        async def is_silent() -> bool:
            return not await types()

        await eventually(types)
        await there.do("PUT", path, {"typing": False})
        await eventually(is_silent)

        # What is said while a bus loses everything is sent all the same.
        first.memory.cut()
        await there.say(room, "unheard")
        await carla.hears(room, "unheard")
        first.memory.heal()

        # The second one goes on where the first one ends.
        await first.stop()
        await there.say(room, "after the end of the first")
        await carla.hears(room, "after the end of the first")
        assert second.app.federation.sender.is_sending
        said = await carla.texts(room)
        assert sorted(said) == sorted(set(said))
