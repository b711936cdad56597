"""Deleting and blocking rooms that are shared with other servers."""

from typing import Any

import pytest

from homeserver.protocol.identifiers import UserID
from homeserver.services.rooms import deletion_steps
from tests.federation.whole_servers import Person, World, escaped, eventually, in_world

ADMIN = "/_synapse/admin"


async def as_admin(person: Person) -> Person:
    """Make somebody an administrator of their server."""
    await person.server.app.accounts.moderation.set_admin(UserID(person.user_id), True)
    return person


async def delete(admin: Person, room: str, **wishes: Any) -> None:
    """Have a room deleted, and wait until it is."""
    reply = await admin.ask_path("DELETE", f"{ADMIN}/v2/rooms/{escaped(room)}", wishes)
    assert reply.status == 200, reply.text
    path = f"{ADMIN}/v2/rooms/delete_status/{reply.json['delete_id']}"

    async def complete() -> bool:
        return bool((await admin.ask_path("GET", path)).json["status"] == "complete")

    await eventually(complete)


@pytest.mark.usefixtures("internet")
class TestDeletion(World):
    """The other servers are told, and the room lives on there."""

    @in_world
    async def test_a_purged_room_can_be_joined_again(self) -> None:
        self.put(deletion_steps, "NODES_MS", 0)
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await as_admin(await beta.person("bob"))
        room = await alice.public_room()
        await bob.join(room, alpha)
        await alice.say(room, "before")
        await bob.hears(room, "before")
        await delete(bob, room)
        assert (await alice.members(room))[bob.user_id] == "leave"
        await alice.say(room, "between")
        await bob.join(room, alpha)
        for who, text in ((alice, "after"), (bob, "here again")):
            await who.say(room, text)
            await alice.hears(room, text)
            await bob.hears(room, text)
        assert await bob.state(room) == await alice.state(room)

    @in_world
    async def test_nobody_comes_into_a_blocked_room(self) -> None:
        self.put(deletion_steps, "NODES_MS", 0)
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await as_admin(await beta.person("bob"))
        room = await alice.public_room()
        await bob.join(room, alpha)
        await delete(bob, room, block=True)
        assert (await bob.try_join(room, alpha)).status == 403
        carol = await alpha.person("carol")
        assert (await carol.try_join(room)).status == 200, "it is blocked there alone"
        invited = await alice.ask("POST", f"/rooms/{escaped(room)}/invite", {"user_id": bob.user_id})
        assert invited.status == 403
        assert await bob.rooms("invite") == {}

    @in_world
    async def test_other_servers_do_not_enter_through_a_server_that_blocks_the_room(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await as_admin(await alpha.person("alice")), await beta.person("bob")
        readable = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
        room = await alice.public_room(
            room_alias_name="den", visibility="public", room_version="7", initial_state=[readable]
        )
        space = await alice.public_room(creation_content={"type": "m.space"})
        await alice.set_state(space, "m.space.child", {"via": [alpha.name]}, room)
        path = f"{ADMIN}/v1/rooms/{escaped(room)}/block"

        async def tries() -> tuple[int, int]:
            alias = await bob.ask("GET", f"/directory/room/{escaped('#den:' + alpha.name)}")
            listed = (await bob.do("GET", "/publicRooms", None, {"server": alpha.name}))["chunk"]
            return alias.status, len(listed)

        await bob.join(space, alpha)
        assert await tries() == (200, 1)
        assert (await alice.ask_path("PUT", path, {"block": True})).status == 200
        assert await tries() == (404, 0)
        tree = f"/_matrix/client/v1/rooms/{escaped(space)}/hierarchy"
        assert [each["room_id"] for each in (await bob.ask_path("GET", tree)).json["rooms"]] == [space]
        assert (await bob.try_join(room, alpha)).status == 403
        await alice.set_state(room, "m.room.join_rules", {"join_rule": "knock"})
        knocked = await bob.ask("POST", f"/knock/{escaped(room)}", {}, {"via": [alpha.name]})
        assert knocked.status == 403
        assert bob.user_id not in await alice.members(room)
        assert (await alice.ask_path("PUT", path, {"block": False})).status == 200
        await bob.do("POST", f"/knock/{escaped(room)}", {}, {"via": [alpha.name]})
        assert (await alice.ask_path("PUT", path, {"block": True})).status == 200
        await bob.act(room, "leave")

        async def left() -> bool:
            return (await alice.members(room))[bob.user_id] == "leave"

        await eventually(left)
