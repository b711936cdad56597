"""Users of one server enter rooms of another."""

import pytest

from tests.federation.homeservers import internet, three_databases
from tests.federation.whole_servers import World, in_world
from tests.harness.postgres import postgres

__all__ = ["internet", "postgres", "three_databases"]


@pytest.mark.usefixtures("internet")
class TestJoining(World):
    """Through a server that is in the room."""

    @in_world
    async def test_a_room_of_another_server_can_be_joined_and_talked_in(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room(name="Tea")
        await alice.say(room, "before")
        await bob.join(room, alpha)
        assert (await bob.members(room)) == {alice.user_id: "join", bob.user_id: "join"}
        await alice.say(room, "hello bob")
        await bob.hears(room, "hello bob")
        await bob.say(room, "hello alice")
        await alice.hears(room, "hello alice")
        assert await alice.state(room) == await bob.state(room)
        assert await bob.texts(room) == ["before", "hello bob", "hello alice"]
