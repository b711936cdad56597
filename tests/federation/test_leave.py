"""Leaving rooms that are shared with other servers."""

import pytest

from tests.federation.whole_servers import World, eventually, in_world


@pytest.mark.usefixtures("internet")
class TestLeaving(World):
    """And being made to leave."""

    @in_world
    async def test_a_leave_is_told_to_the_others(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        await bob.join(room, alpha)
        await bob.act(room, "leave")

        async def gone() -> bool:
            return (await alice.members(room))[bob.user_id] == "leave"

        await eventually(gone)

    @in_world
    async def test_who_is_kicked_learns_of_it_and_hears_no_more(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        await bob.join(room, alpha)
        await alice.act(room, "kick", user_id=bob.user_id)

        async def kicked() -> bool:
            return room not in await bob.rooms("join")

        await eventually(kicked)
        await alice.say(room, "among us")
        await bob.join(room, alpha)
        await alice.say(room, "again")
        await bob.hears(room, "again")

    @in_world
    async def test_who_is_banned_cannot_come_back(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        await bob.join(room, alpha)
        await alice.act(room, "ban", user_id=bob.user_id)

        async def banned() -> bool:
            return room not in await bob.rooms("join")

        await eventually(banned)
        assert (await bob.try_join(room, alpha)).status == 403
