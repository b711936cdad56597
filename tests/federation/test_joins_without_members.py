"""Servers that join a room of this one and want its state without most of the members.

https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid
"""

from dataclasses import dataclass
from typing import Any

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.signing import sign_pdu
from homeserver.protocol.room_versions import ROOM_VERSIONS
from tests.federation.pdu_server import PduServer, join_by
from tests.federation.whole_servers import Person, WholeServer, World, escaped, in_world

MEMBER = "m.room.member"
V1 = "/_matrix/federation/v1"
V2 = "/_matrix/federation/v2"


@dataclass
class Entered:
    """A join, and what was answered to it."""

    join: Event
    answer: dict[str, Any]

    def keys(self, name: str) -> set[tuple[str, str]]:
        """The state keys of a list."""
        return {(pdu["type"], pdu["state_key"]) for pdu in self.answer[name]}

    def members(self, name: str = "state") -> set[str]:
        """Whose memberships are in a list."""
        return {key for kind, key in self.keys(name) if kind == MEMBER}

    def events(self, *names: str) -> dict[str, Event]:
        """The events of lists, by ID."""
        parsed = [parse_pdu(pdu, self.join.version) for name in names for pdu in self.answer[name]]
        return {event.event_id: event for event in parsed}

    def is_complete(self) -> bool:
        """Whether all that leads to the join and to the state is there, and nothing is there twice."""
        state, chain = self.events("state"), self.events("auth_chain")
        every = {**state, **chain}
        named = {one for event in (*every.values(), self.join) for one in event.auth_event_ids}
        return named <= every.keys() and not state.keys() & chain.keys()


@pytest.mark.usefixtures("internet")
class TestWithoutMembers(World):
    """Joins with `omit_members`."""

    async def crowd(self, **wishes: Any) -> tuple[WholeServer, Person, str, PduServer]:
        """A room of Alice with ten others in it."""
        alpha = await self.server("alpha.example")
        alice = await alpha.person("alice")
        room = await alice.public_room(**wishes)
        for number in range(10):
            member = await alpha.person(f"member{number}")
            await member.join(room)
        return alpha, alice, room, PduServer(self, "evil.example")

    async def enter(
        self, evil: PduServer, server: WholeServer, room: str, query: str = "?omit_members=true"
    ) -> Entered:
        """Join a room."""
        versions = "&".join(f"ver={version}" for version in ROOM_VERSIONS)
        path = f"{V1}/make_join/{escaped(room)}/{escaped(evil.user_id)}?{versions}"
        status, template = await evil.ask(server, "GET", path)
        assert status == 200, template
        join = join_by(evil, room, template)
        path = f"{V2}/send_join/{escaped(room)}/{escaped(join.event_id)}{query}"
        status, answer = await evil.ask(server, "PUT", path, join.pdu)
        assert status == 200, answer
        return Entered(join, answer)

    @in_world
    async def test_a_named_room_is_told_without_its_members(self) -> None:
        alpha, alice, room, evil = await self.crowd(name="Tea")
        entered = await self.enter(evil, alpha, room)
        assert entered.answer["members_omitted"] is True
        assert entered.answer["servers_in_room"] == [alpha.name]
        assert entered.members() == set()
        assert entered.keys("state") == {key for key in await alice.state(room) if key[0] != MEMBER}
        assert entered.members("auth_chain") == {alice.user_id}
        assert entered.is_complete()

    @in_world
    async def test_a_room_without_a_name_is_told_with_its_heroes(self) -> None:
        alpha, alice, room, evil = await self.crowd()
        entered = await self.enter(evil, alpha, room)
        assert entered.answer["members_omitted"] is True
        assert entered.members() == {alice.user_id, *(f"@member{n}:alpha.example" for n in range(4))}
        assert entered.is_complete()

    @in_world
    async def test_a_room_that_has_an_alias_is_told_without_heroes(self) -> None:
        alpha, alice, room, evil = await self.crowd(room_alias_name="tea")
        alias = f"#tea:{alpha.name}"
        await alice.set_state(room, "m.room.canonical_alias", {"alias": alias})
        entered = await self.enter(evil, alpha, room)
        assert entered.members() == set()

    @in_world
    async def test_the_invite_by_which_a_user_enters_is_told(self) -> None:
        alpha, alice, room, evil = await self.crowd(name="Tea")
        await alice.set_state(room, "m.room.join_rules", {"join_rule": "invite"})
        evil.answers["/invite/"] = self.signs(evil)
        await alice.act(room, "invite", user_id=evil.user_id)
        entered = await self.enter(evil, alpha, room)
        assert evil.user_id in entered.members()
        assert entered.answer["members_omitted"] is True
        assert entered.is_complete()

    def signs(self, evil: PduServer) -> Any:
        """An answer to invites that accepts them."""

        def answer(request: dict[str, Any]) -> tuple[int, Any]:
            event = parse_pdu(request["body"]["event"], ROOM_VERSIONS[request["body"]["room_version"]])
            return 200, {"event": sign_pdu(event.pdu, event.version, evil.name, evil.key)}

        return answer

    @in_world
    async def test_nothing_is_omitted_unless_that_is_asked_for(self) -> None:
        alpha, alice, room, evil = await self.crowd(name="Tea")
        for query in ("", "?omit_members=false"):
            before = await alice.state(room)
            entered = await self.enter(evil, alpha, room, query)
            assert entered.answer["members_omitted"] is False
            assert entered.keys("state") == before.keys()

    @in_world
    async def test_a_room_of_which_all_members_are_needed_is_told_whole(self) -> None:
        alpha = await self.server("alpha.example")
        alice = await alpha.person("alice")
        room = await alice.public_room()
        entered = await self.enter(PduServer(self, "evil.example"), alpha, room)
        assert entered.answer["members_omitted"] is False
        assert entered.keys("state") | {(MEMBER, entered.join.sender)} == (await alice.state(room)).keys()

    @in_world
    async def test_servers_that_were_in_the_room_before_are_told(self) -> None:
        alpha, _, room, evil = await self.crowd(name="Tea")
        beta = await self.server("beta.example")
        bob = await beta.person("bob")
        await bob.join(room, alpha)
        entered = await self.enter(evil, alpha, room)
        assert set(entered.answer["servers_in_room"]) == {alpha.name, beta.name}

    @in_world
    async def test_the_wish_must_be_true_or_false(self) -> None:
        alpha, _, room, evil = await self.crowd(name="Tea")
        path = f"{V2}/send_join/{escaped(room)}/%24x?omit_members=maybe"
        status, answer = await evil.ask(alpha, "PUT", path, {})
        assert (status, answer["errcode"]) == (400, "M_INVALID_PARAM")
