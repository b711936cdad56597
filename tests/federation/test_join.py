"""Users of one server enter rooms of another."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from homeserver.protocol.room_versions import ROOM_VERSIONS
from homeserver.services.rooms import remote_joins
from storage.tables.remote_joins import RemoteJoins
from tests.federation.whole_servers import World, escaped, eventually, in_world
from tests.harness.outside import AUTHORITY, Peer, until


@pytest.mark.usefixtures("internet")
class TestJoining(World):
    """Through a server that is in the room."""

    @in_world
    async def test_what_a_replaced_key_signed_is_good_for_those_who_come_later(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room(name="Tea")
        await bob.join(room, alpha)
        await alice.say(room, "signed with the old key")
        await bob.hears(room, "signed with the old key")
        alpha.rotate_key()
        await alpha.stop()
        await alpha.start()
        await alice.say(room, "signed with the new key")
        await bob.hears(room, "signed with the new key")
        gamma = await self.server("gamma.example")
        carol = await gamma.person("carol")
        await carol.join(room, alpha)
        assert await carol.state(room) == await alice.state(room)
        assert await carol.texts(room) == ["signed with the old key", "signed with the new key"]

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

    @in_world
    async def test_rooms_of_every_version_can_be_joined(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        for version in ROOM_VERSIONS:
            room = await alice.public_room(room_version=version)
            await bob.join(room, alpha)
            await bob.say(room, f"hello {version}")
            await alice.hears(room, f"hello {version}")
            assert await alice.state(room) == await bob.state(room)

    @in_world
    async def test_a_room_is_joined_by_an_alias_of_another_server(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room(room_alias_name="tea")
        assert (await bob.join(f"#tea:{alpha.name}"))["room_id"] == room

    @in_world
    async def test_an_unknown_alias_is_not_found(self) -> None:
        _, beta = await self.two_servers()
        bob = await beta.person("bob")
        reply = await bob.try_join("#nothing:alpha.example")
        assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")

    @in_world
    async def test_a_joined_room_is_in_the_next_sync_with_its_state(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room(name="Tea")
        before = (await bob.sync())["next_batch"]
        await bob.join(room, alpha)
        joined = (await bob.sync(before))["rooms"]["join"][room]
        state = {(event["type"], event["state_key"]) for event in joined["state"]["events"]}
        timeline = joined["timeline"]["events"]
        assert ("m.room.name", "") in state
        assert ("m.room.member", alice.user_id) in state
        assert (timeline[-1]["type"], timeline[-1]["state_key"]) == ("m.room.member", bob.user_id)

    @in_world
    async def test_an_uninvited_user_is_not_let_in(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.create(preset="private_chat")
        reply = await bob.try_join(room, alpha)
        assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")

    @in_world
    async def test_a_room_that_nobody_knows_is_not_found(self) -> None:
        alpha, beta = await self.two_servers()
        bob = await beta.person("bob")
        reply = await bob.try_join("!nothing:alpha.example", alpha)
        assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")
        reply = await bob.try_join("!nothing:alpha.example")
        assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")

    @in_world
    async def test_the_join_goes_through_the_next_server_if_the_first_is_away(self) -> None:
        alpha, beta = await self.two_servers()
        gamma = await self.server("gamma.example", "  notaries: [beta.example]\n")
        alice, bob, carol = (
            await alpha.person("alice"),
            await beta.person("bob"),
            await gamma.person("carol"),
        )
        room = await alice.public_room()
        await bob.join(room, alpha)
        alpha.cut_off()
        await carol.join(room, alpha, beta)
        assert set(await carol.members(room)) == {alice.user_id, bob.user_id, carol.user_id}
        alpha.reconnect()
        await bob.say(room, "hello all")
        await carol.hears(room, "hello all")

    @in_world
    async def test_a_server_that_takes_the_question_and_does_not_answer_is_not_waited_for(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        silent = Peer(lambda request: None, AUTHORITY.leaf(["silent.example"])).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(silent.stop()))
        self.address("silent.example", silent.port)
        via = {"via": ["silent.example", alpha.name]}
        await bob.do("POST", f"/join/{escaped(room)}", {}, via)
        assert ["/make_join/" in each.target for each in silent.seen].count(True) == 1
        assert (await bob.members(room))[bob.user_id] == "join"

    @in_world
    async def test_a_join_that_a_restart_interrupts_goes_on_after_it(self) -> None:
        self.put(remote_joins, "ALIVE_MS", 600)
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        silent = Peer(lambda request: None, AUTHORITY.leaf(["silent.example"])).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(silent.stop()))
        self.address("silent.example", silent.port)
        via = {"via": ["silent.example", alpha.name]}
        joining = Deferred.fromCoroutine(bob.ask("POST", f"/join/{escaped(room)}", {}, via))
        _ = joining.addErrback(lambda _: None)
        await until(lambda: len(silent.seen) == 1)
        await beta.die()
        await beta.start()

        async def bob_is_in() -> bool:
            return room in (await bob.do("GET", "/joined_rooms"))["joined_rooms"]

        await eventually(bob_is_in)
        assert (await alice.members(room))[bob.user_id] == "join"
        left = await beta.storage.transact(
            lambda tx: RemoteJoins(tx).take_over(self.clock.now_ms() + 10**9, 0)
        )
        assert left == [], "nothing is on record any more"

    @in_world
    async def test_a_join_that_was_refused_is_not_tried_again(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.create(preset="private_chat")
        assert (await bob.try_join(room, alpha)).status == 403
        left = await beta.storage.transact(
            lambda tx: RemoteJoins(tx).take_over(self.clock.now_ms() + 10**9, 0)
        )
        assert left == []

    @in_world
    async def test_the_servers_in_the_room_hear_of_a_join_by_way_of_one_of_them(self) -> None:
        alpha, beta = await self.two_servers()
        gamma = await self.server("gamma.example")
        alice, bob, carol = (
            await alpha.person("alice"),
            await beta.person("bob"),
            await gamma.person("carol"),
        )
        room = await alice.public_room()
        await bob.join(room, alpha)
        await carol.join(room, alpha)

        async def bob_knows() -> bool:
            return (await bob.members(room)).get(carol.user_id) == "join"

        await eventually(bob_knows)
        await carol.say(room, "hello from gamma")
        await bob.hears(room, "hello from gamma")
        await alice.hears(room, "hello from gamma")
        assert await alice.state(room) == await bob.state(room) == await carol.state(room)

    @in_world
    async def test_a_second_user_of_a_server_joins_at_home(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob, bill = (
            await alpha.person("alice"),
            await beta.person("bob"),
            await beta.person("bill"),
        )
        room = await alice.public_room()
        await bob.join(room, alpha)
        await bill.join(room)

        async def alice_knows() -> bool:
            return (await alice.members(room)).get(bill.user_id) == "join"

        await eventually(alice_knows)

    @in_world
    async def test_two_users_of_a_server_may_join_at_the_same_time(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob, bill = (
            await alpha.person("alice"),
            await beta.person("bob"),
            await beta.person("bill"),
        )
        room = await alice.public_room()
        joins = [Deferred.fromCoroutine(each.join(room, alpha)) for each in (bob, bill)]
        await gatherResults(joins)

        async def alice_knows() -> bool:
            return len(await alice.members(room)) == 3

        await eventually(alice_knows)
        await bill.say(room, "both here")
        await alice.hears(room, "both here")
        assert await alice.state(room) == await bob.state(room)

    @in_world
    async def test_who_left_a_room_joins_it_again_as_it_is_now(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        await bob.join(room, alpha)
        await bob.act(room, "leave")

        async def gone() -> bool:
            return (await alice.members(room))[bob.user_id] == "leave"

        await eventually(gone)
        await alice.set_state(room, "m.room.topic", {"topic": "meanwhile"})
        await alice.say(room, "while bob was away")
        await bob.join(room, alpha)
        assert await alice.state(room) == await bob.state(room)
        await alice.say(room, "welcome back")
        await bob.hears(room, "welcome back")
        await bob.say(room, "thank you")
        await alice.hears(room, "thank you")
        assert "while bob was away" in await bob.texts(room)


@pytest.mark.usefixtures("internet")
class TestRestrictedJoins(World):
    """Rooms that let in the members of another room."""

    async def _club(self, alice: Any) -> tuple[str, str]:
        club = await alice.public_room(name="Club")
        rule = {
            "join_rule": "restricted",
            "allow": [{"type": "m.room_membership", "room_id": club}],
        }
        inner = await alice.create(
            initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": rule}]
        )
        return club, inner

    @in_world
    async def test_a_member_of_the_named_room_is_let_in(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        club, inner = await self._club(alice)
        refused = await bob.try_join(inner, alpha)
        assert refused.status == 403
        await bob.join(club, alpha)
        await bob.join(inner, alpha)
        member = await bob.do("GET", f"/rooms/{escaped(inner)}/state/m.room.member/{escaped(bob.user_id)}")
        assert member["join_authorised_via_users_server"] == alice.user_id
        await bob.say(inner, "inside")
        await alice.hears(inner, "inside")

    @in_world
    async def test_another_user_of_a_server_inside_is_let_in_through_who_may_invite(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob, bill = (
            await alpha.person("alice"),
            await beta.person("bob"),
            await beta.person("bill"),
        )
        club, inner = await self._club(alice)
        levels = await alice.do("GET", f"/rooms/{escaped(inner)}/state/m.room.power_levels/")
        await alice.set_state(inner, "m.room.power_levels", levels | {"invite": 50})
        await bob.join(club, alpha)
        await bob.join(inner, alpha)
        await bill.join(club)
        await bill.join(inner, alpha)

        async def alice_knows() -> bool:
            return (await alice.members(inner)).get(bill.user_id) == "join"

        await eventually(alice_knows)
        await bill.say(inner, "me too")
        await alice.hears(inner, "me too")
        assert await alice.state(inner) == await bob.state(inner)


@pytest.mark.usefixtures("internet")
class TestLargeRooms(World):
    """Rooms whose state is written in pieces."""

    @in_world
    async def test_a_room_with_much_state_is_joined_whole(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        state = [{"type": "m.test", "state_key": str(n), "content": {"n": n}} for n in range(1200)]
        room = await alice.public_room(initial_state=state)
        await bob.join(room, alpha)
        known = await bob.state(room)
        assert known == await alice.state(room)
        assert len(known) > 1200
        await alice.say(room, "hello")
        await bob.hears(room, "hello")
