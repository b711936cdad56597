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
        invited = await alice.ask("POST", f"/rooms/{escaped(room)}/invite", {"user_id": bob.user_id})
        assert invited.status == 403
        assert await bob.rooms("invite") == {}
