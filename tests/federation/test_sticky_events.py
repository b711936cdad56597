"""Sticky events between servers. https://github.com/matrix-org/matrix-spec-proposals/pull/4354"""

from typing import Any

import pytest

from tests.federation.whole_servers import Person, World, eventually, in_world, room_path

DURATION = "org.matrix.msc4354.sticky_duration_ms"
HIDDEN = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}


async def stick(person: Person, room: str, text: str, duration: int = 600_000) -> str:
    """Send something sticky; its ID."""
    path = room_path(room, "send", "m.rtc.member", person.server.world.transaction())
    return str((await person.do("PUT", path, {"body": text}, {DURATION: duration}))["event_id"])


async def sticky(person: Person, room: str) -> list[str]:
    """What a first sync tells of as sticky, in the timeline or beside it."""
    told: Any = (await person.rooms("join")).get(room, {})
    events = told["timeline"]["events"] + told.get("msc4354_sticky", {}).get("events", [])
    return sorted(each["content"]["body"] for each in events if "msc4354_sticky" in each)


async def hears(person: Person, room: str, *texts: str) -> None:
    """Wait until just this is sticky."""

    async def heard() -> bool:
        return await sticky(person, room) == sorted(texts)

    await eventually(heard)


@pytest.mark.usefixtures("internet")
class TestStickyEvents(World):
    """Between two servers of ours."""

    @in_world
    async def test_sticky_events_arrive_behind_much_else(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        await bob.join(room, alpha)
        beta.cut_off()
        await stick(alice, room, "sticky")
        for number in range(15):
            await alice.say(room, f"talk {number}")
        beta.reconnect()
        await stick(bob, room, "mine")
        await hears(bob, room, "mine", "sticky")
        await hears(alice, room, "mine", "sticky")

    @in_world
    async def test_a_server_that_joins_gets_what_is_sticky_of_those_there(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room(initial_state=[HIDDEN])
        await stick(alice, room, "one")
        for number in range(12):
            await alice.say(room, f"talk {number}")
        await stick(alice, room, "two")
        await bob.join(room, alpha)
        await hears(bob, room, "one", "two")

    @in_world
    async def test_what_is_owed_to_a_server_that_joined_outlasts_a_crash(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        await stick(alice, room, "one")
        await stick(alice, room, "two")
        alpha.app.federation.sender._stopped = True
        await bob.join(room, alpha)
        await alpha.die()
        await alpha.start()
        await hears(bob, room, "one", "two")
