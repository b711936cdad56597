"""Invites across servers, and knocks."""

from typing import Any

import pytest

from tests.federation.whole_servers import Person, World, eventually, in_world


async def invite_of(person: Person, room: str) -> Any:
    return (await person.rooms("invite")).get(room)


@pytest.mark.usefixtures("internet")
class TestInviting(World):
    """Users of other servers."""

    @in_world
    async def test_an_invited_user_sees_the_invite_and_joins(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.create(preset="private_chat", name="Secret")
        before = (await bob.sync())["next_batch"]
        await alice.invite(room, bob)
        shown = (await bob.sync(before))["rooms"]["invite"][room]["invite_state"]["events"]
        by_type = {event["type"]: event for event in shown}
        assert by_type["m.room.name"]["content"] == {"name": "Secret"}
        member = next(event for event in shown if event.get("state_key") == bob.user_id)
        assert (member["content"]["membership"], member["sender"]) == ("invite", alice.user_id)
        assert (await alice.members(room))[bob.user_id] == "invite"
        await bob.join(room)
        await bob.say(room, "here")
        await alice.hears(room, "here")
        assert await alice.state(room) == await bob.state(room)

    @in_world
    async def test_invites_work_in_the_oldest_room_versions(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        for version in ("1", "2", "5"):
            room = await alice.create(preset="private_chat", room_version=version)
            await alice.invite(room, bob)
            await bob.join(room)
            await bob.say(room, "here")
            await alice.hears(room, "here")

    @in_world
    async def test_a_direct_chat_with_a_user_of_another_server_can_be_made(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.create(preset="trusted_private_chat", invite=[bob.user_id], is_direct=True)
        shown = await invite_of(bob, room)
        member = next(e for e in shown["invite_state"]["events"] if e.get("state_key") == bob.user_id)
        assert member["content"]["is_direct"] is True
        await bob.join(room)

    @in_world
    async def test_an_invite_of_nobody_is_refused(self) -> None:
        alpha, _ = await self.two_servers()
        alice = await alpha.person("alice")
        room = await alice.create()
        reply = await alice.ask("POST", f"/rooms/{room}/invite", {"user_id": "@nobody:beta.example"})
        assert reply.status == 403
        assert "@nobody:beta.example" not in await alice.members(room)

    @in_world
    async def test_an_invite_through_a_server_that_is_away_fails(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.create()
        beta.cut_off()
        reply = await alice.ask("POST", f"/rooms/{room}/invite", {"user_id": bob.user_id})
        assert reply.status == 502

    @in_world
    async def test_a_rejected_invite_is_gone_on_both_sides(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.create(preset="private_chat")
        await alice.invite(room, bob)
        since = (await bob.sync())["next_batch"]
        await bob.act(room, "leave")
        left = (await bob.sync(since))["rooms"]["leave"][room]["timeline"]["events"]
        assert [(e["state_key"], e["content"]["membership"]) for e in left] == [(bob.user_id, "leave")]
        assert await invite_of(bob, room) is None

        async def alice_knows() -> bool:
            return (await alice.members(room))[bob.user_id] == "leave"

        await eventually(alice_knows)

    @in_world
    async def test_an_invite_is_rejected_at_once_though_its_server_is_away_and_told_later(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.create(preset="private_chat")
        await alice.invite(room, bob)
        alpha.cut_off()
        await bob.act(room, "leave")
        assert await invite_of(bob, room) is None
        await beta.stop()
        alpha.reconnect()
        await beta.start()

        async def alice_knows() -> bool:
            return (await alice.members(room))[bob.user_id] == "leave"

        await eventually(alice_knows)

    @in_world
    async def test_a_withdrawn_invite_disappears(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.create(preset="private_chat")
        await alice.invite(room, bob)
        assert await invite_of(bob, room) is not None
        await alice.act(room, "kick", user_id=bob.user_id)

        async def gone() -> bool:
            return await invite_of(bob, room) is None

        await eventually(gone)

    @in_world
    async def test_a_user_of_a_server_in_the_room_is_invited(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob, bill = (
            await alpha.person("alice"),
            await beta.person("bob"),
            await beta.person("bill"),
        )
        room = await alice.create(preset="private_chat")
        await alice.invite(room, bob)
        await bob.join(room)
        await alice.invite(room, bill)

        async def shown() -> bool:
            return await invite_of(bill, room) is not None

        await eventually(shown)
        await bill.join(room)

        async def all_know() -> bool:
            return (await alice.members(room))[bill.user_id] == "join"

        await eventually(all_know)
        assert await alice.members(room) == await bob.members(room)

    @in_world
    async def test_who_was_kicked_can_be_invited_again(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.create(preset="private_chat")
        await alice.invite(room, bob)
        await bob.join(room)
        await alice.act(room, "kick", user_id=bob.user_id)

        async def kicked() -> bool:
            return room not in await bob.rooms("join")

        await eventually(kicked)
        await alice.invite(room, bob)
        assert await invite_of(bob, room) is not None
        await bob.join(room)
        await bob.say(room, "back")
        await alice.hears(room, "back")


@pytest.mark.usefixtures("internet")
class TestKnocking(World):
    """Upon rooms of other servers."""

    @in_world
    async def test_a_knock_is_answered_with_an_invite(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        rules = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
        room = await alice.create(name="Door", initial_state=[rules])
        await bob.do("POST", f"/knock/{room}", {"reason": "please"}, {"via": [alpha.name]})
        knocked = (await bob.sync())["rooms"]["knock"][room]["knock_state"]["events"]
        assert {"name": "Door"} in [event["content"] for event in knocked]
        assert (await alice.members(room))[bob.user_id] == "knock"
        await alice.invite(room, bob)
        await bob.join(room)
        await bob.say(room, "thanks")
        await alice.hears(room, "thanks")

    @in_world
    async def test_a_knock_is_taken_back(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        rules = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
        room = await alice.create(initial_state=[rules])
        await bob.do("POST", f"/knock/{room}", {}, {"via": [alpha.name]})
        await bob.act(room, "leave")

        async def gone() -> bool:
            return (await alice.members(room))[bob.user_id] == "leave"

        await eventually(gone)

    @in_world
    async def test_a_refused_knock_is_told_to_who_knocked(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        rules = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
        room = await alice.create(initial_state=[rules])
        await bob.do("POST", f"/knock/{room}", {}, {"via": [alpha.name]})
        await alice.act(room, "kick", user_id=bob.user_id)

        async def gone() -> bool:
            return room not in await bob.rooms("knock")

        await eventually(gone)
