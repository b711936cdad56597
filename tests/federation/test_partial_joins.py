"""Joins of our users into rooms whose members arrive later.

https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid
"""

from typing import Any

import orjson
import psycopg2
import pytest

from homeserver.http.encoding import RawJson
from homeserver.protocol.identifiers import RoomID
from homeserver.services.rooms import asking_around, partial_rooms
from tests.federation.pdu_server import PduServer
from tests.federation.whole_servers import (
    Gate,
    Person,
    WholeServer,
    World,
    escaped,
    eventually,
    in_world,
    room_path,
)
from tests.harness import conformance

ON = "  partial_state_joins: true\n"
OFF = "  partial_state_joins: false\n"
LAZY = '{"room":{"state":{"lazy_load_members":true}}}'


class PartialWorld(World):
    """Two servers, and a room on the first whose members the second is not told before a gate is opened."""

    async def begin(self, settings: str = ON, *gates: Gate, **wishes: Any) -> None:
        """A named room of Alice with six others; Bob on the other server."""
        self.put(asking_around, "PATIENCE_S", 0.1)
        self.put(partial_rooms, "HISTORY_S", 0.0)
        self.put(partial_rooms, "SERVERS_S", 0.1)
        self.gate = Gate("/state_ids/")
        self.alpha = await self.server("alpha.example", gates=(self.gate, *gates))
        self.beta = await self.server("beta.example", settings)
        self.alice = await self.alpha.person("alice")
        self.bob = await self.beta.person("bob")
        self.room = await self.alice.public_room(name="Tea", **wishes)
        self.members = [await self.alpha.person(f"member{number}") for number in range(6)]
        for member in self.members:
            await member.join(self.room)

    def is_partial(self, server: WholeServer | None = None) -> bool:
        """Whether the members are not known yet."""
        return self.room in (server or self.beta).app.rooms_core.partial

    async def becomes_whole(self) -> None:
        """Open the gate, and wait for the members."""
        self.gate.open()
        await self.is_whole()

    async def is_whole(self) -> None:
        """Wait for the members."""

        async def whole() -> bool:
            return not self.is_partial()

        await eventually(whole)

    def is_to_be_taken_over(self, server: WholeServer) -> None:
        """As when the time of who worked at it has run out."""
        with psycopg2.connect(server.database.dsn) as connection, connection.cursor() as cursor:
            cursor.execute("update partial_rooms set alive_until = 0 where attempts > 0")
            assert cursor.rowcount == 1

    async def lazy(self, person: Person, since: str | None = None) -> Any:
        """A sync that loads members as they speak."""
        query = {"filter": LAZY} | ({} if since is None else {"since": since})
        return await person.do("GET", "/sync", None, query)


@pytest.mark.usefixtures("internet")
class TestPartialJoins(PartialWorld):
    """What works before the members are known, and what comes of it."""

    @in_world
    async def test_people_talk_both_ways_before_the_members_are_known_and_then_have_the_same_state(
        self,
    ) -> None:
        await self.begin()
        await self.bob.join(self.room, self.alpha)
        assert self.is_partial()
        await self.bob.say(self.room, "hello from beta")
        await self.alice.hears(self.room, "hello from beta")
        await self.members[0].say(self.room, "hello from alpha")
        await self.bob.hears(self.room, "hello from alpha")
        await self.alice.set_state(self.room, "m.room.topic", {"topic": "cups"})
        await self.members[1].act(self.room, "leave")

        async def has_heard() -> bool:
            events = await self.bob.history(self.room)
            return any(event.get("state_key") == self.members[1].user_id for event in events)

        await eventually(has_heard)
        assert self.is_partial()
        await self.becomes_whole()
        assert await self.bob.state(self.room) == await self.alice.state(self.room)
        assert await self.bob.members(self.room) == await self.alice.members(self.room)
        await self.bob.say(self.room, "goodbye")
        await self.alice.hears(self.room, "goodbye")

    @in_world
    async def test_a_restart_does_not_lose_the_work(self) -> None:
        await self.begin()
        await self.bob.join(self.room, self.alpha)
        await self.beta.die()
        self.gate.open()
        self.is_to_be_taken_over(self.beta)
        await self.beta.start()
        await self.is_whole()
        assert await self.bob.state(self.room) == await self.alice.state(self.room)

    @in_world
    async def test_another_server_of_the_room_is_asked_if_the_first_does_not_tell(self) -> None:
        await self.begin()
        gamma = await self.server("gamma.example", OFF)
        carol = await gamma.person("carol")
        await carol.join(self.room, self.alpha)
        await self.bob.join(self.room, self.alpha)
        await self.is_whole()
        assert self.gate.closed
        assert self.gate.asked
        assert await self.bob.members(self.room) == await self.alice.members(self.room)

    @in_world
    async def test_a_room_is_shown_to_who_loads_members_lazily_and_to_others_when_it_is_whole(self) -> None:
        await self.begin()
        before = (await self.bob.sync())["next_batch"]
        lazy_before = (await self.lazy(self.bob))["next_batch"]
        await self.bob.join(self.room, self.alpha)
        await self.members[0].say(self.room, "tea?")
        await self.bob.hears(self.room, "tea?")
        assert self.is_partial()
        shown = await self.lazy(self.bob, lazy_before)
        state = shown["rooms"]["join"][self.room]["state"]["events"]
        told = {event["state_key"] for event in state if event["type"] == "m.room.member"}
        assert "m.room.name" in {event["type"] for event in state}
        assert self.members[0].user_id in told
        assert self.members[1].user_id not in told
        await self.members[1].say(self.room, "yes")
        await self.bob.hears(self.room, "yes")
        later = (await self.lazy(self.bob, shown["next_batch"]))["rooms"]["join"][self.room]
        assert [event["state_key"] for event in later["state"]["events"]] == [self.members[1].user_id]
        hidden = await self.bob.sync(before)
        first = await self.bob.sync()
        assert self.room not in hidden.get("rooms", {}).get("join", {})
        assert self.room not in first.get("rooms", {}).get("join", {})
        await self.becomes_whole()
        for since in (before, hidden["next_batch"], first["next_batch"], None):
            room = (await self.bob.sync(since))["rooms"]["join"][self.room]
            events = [*room["state"]["events"], *room["timeline"]["events"]]
            members = {event["state_key"] for event in events if event["type"] == "m.room.member"}
            assert members == {self.alice.user_id, self.bob.user_id, *(each.user_id for each in self.members)}
            assert room["summary"]["m.joined_member_count"] == 8
        later = (await self.lazy(self.bob, shown["next_batch"]))["rooms"]["join"][self.room]
        assert later["summary"]["m.joined_member_count"] == 8

    @in_world
    async def test_who_needs_all_members_waits_for_them_and_is_told_if_that_takes_too_long(self) -> None:
        await self.begin(ON + "  partial_state_wait: 300ms\n")
        await self.bob.join(self.room, self.alpha)
        for what in ("members", "joined_members", "state"):
            reply = await self.bob.ask("GET", room_path(self.room, what))
            assert reply.status == 504, what
            assert reply.json["errcode"] == "M_UNABLE_DUE_TO_PARTIAL_STATE"
        name = await self.bob.do("GET", room_path(self.room, "state", "m.room.name", ""))
        assert name == {"name": "Tea"}
        reply = await self.bob.ask("POST", room_path(self.room, "invite"), {"user_id": "@x:alpha.example"})
        assert (reply.status, reply.json["errcode"]) == (504, "M_UNABLE_DUE_TO_PARTIAL_STATE")
        assert self.is_partial()
        await self.becomes_whole()
        for what in ("members", "joined_members", "state"):
            await self.bob.do("GET", room_path(self.room, what))

    @in_world
    async def test_other_servers_are_refused_what_needs_all_members(self) -> None:
        await self.begin()
        await self.bob.join(self.room, self.alpha)
        last = await self.bob.say(self.room, "hello")
        await self.alice.hears(self.room, "hello")
        eve = PduServer(self, "evil.example")
        versions = "ver=12"
        path = f"/_matrix/federation/v1/make_join/{escaped(self.room)}/{escaped(eve.user_id)}?{versions}"
        status, answer = await eve.ask(self.beta, "GET", path)
        assert (status, answer["errcode"]) == (404, "M_NOT_FOUND")
        await eve.join(self.alpha, self.room)

        async def knows_eve() -> bool:
            return await self.beta.app.federation.shared.access.is_in_room(RoomID(self.room), eve.name)

        await eventually(knows_eve)
        for part in ("state", "state_ids"):
            path = f"/_matrix/federation/v1/{part}/{escaped(self.room)}?event_id={escaped(last)}"
            status, answer = await eve.ask(self.beta, "GET", path)
            assert (status, answer["errcode"]) == (404, "M_NOT_FOUND")
        assert self.is_partial()

    @in_world
    async def test_a_second_user_enters_as_those_who_know_all_members_allow(self) -> None:
        await self.begin()
        dora, eddie = await self.beta.person("dora"), await self.beta.person("eddie")
        await self.alice.act(self.room, "ban", user_id=eddie.user_id)
        await self.bob.join(self.room, self.alpha)
        await dora.join(self.room)
        reply = await eddie.try_join(self.room)
        assert reply.status == 403
        await dora.say(self.room, "me too")
        await self.alice.hears(self.room, "me too")
        assert self.is_partial()
        await self.becomes_whole()
        members = await dora.members(self.room)
        assert members == await self.alice.members(self.room)
        assert members[eddie.user_id] == "ban"

    @in_world
    async def test_a_room_that_all_left_meanwhile_is_let_go_and_can_be_entered_again(self) -> None:
        await self.begin()
        await self.bob.join(self.room, self.alpha)
        await self.bob.act(self.room, "leave")
        await self.becomes_whole()
        await self.bob.join(self.room, self.alpha)
        assert await self.bob.members(self.room) == await self.alice.members(self.room)

    @in_world
    async def test_rooms_are_joined_whole_unless_the_operator_wants_it_otherwise(self) -> None:
        await self.begin(OFF)
        await self.bob.join(self.room, self.alpha)
        assert not self.is_partial()
        assert await self.bob.members(self.room) == await self.alice.members(self.room)

    @in_world
    async def test_who_says_wrongly_which_servers_are_in_the_room_is_asked_for_all_members(self) -> None:
        many = [f"x{number}.example" for number in range(50_001)]
        wrong: list[Any] = [None, "beta.example", {}, [], [1], ["no name!"], many]

        def lie(answer: RawJson) -> RawJson:
            told = orjson.loads(answer.body)
            if not told["members_omitted"]:
                return answer
            return RawJson(orjson.dumps({**told, "servers_in_room": wrong.pop()}))

        await self.begin(ON, Gate("/v2/send_join/", lie))
        while wrong:
            room = await self.alice.public_room(name="Tea")
            await self.members[0].join(room)
            with conformance.unchecked("the answers are wrong on purpose"):
                await self.bob.join(room, self.alpha)
            assert room not in self.beta.app.rooms_core.partial
            assert await self.bob.members(room) == await self.alice.members(room)

    @in_world
    async def test_what_a_banned_user_did_before_the_ban_was_known_is_undone(self) -> None:
        await self.begin(power_level_content_override={"events": {"m.room.topic": 0}})
        eve = PduServer(self, "evil.example")
        hers = await eve.join(self.alpha, self.room)
        chain = [event.pdu for key, event in hers.state.items() if key[0] != "m.room.name"]
        eve.answers["/event_auth/"] = lambda request: (200, {"auth_chain": chain})
        await self.alice.act(self.room, "ban", user_id=eve.user_id)
        await self.bob.join(self.room, self.alpha)
        first = await self.bob.say(self.room, "first")
        topic = hers.event("m.room.topic", {"topic": "mine"}, state_key="", prev=[first], depth=50)
        hers.last = topic
        message = hers.message("ha", prev=[topic])
        assert await eve.send(self.beta, topic, message) == {topic.event_id: {}, message.event_id: {}}
        await self.bob.say(self.room, "second")
        assert await self.bob.texts(self.room) == ["first", "ha", "second"]
        assert (await self.bob.do("GET", room_path(self.room, "state", "m.room.topic", ""))) == {
            "topic": "mine"
        }
        assert self.is_partial()
        token = (await self.lazy(self.bob))["next_batch"]
        await self.becomes_whole()
        assert await self.bob.texts(self.room) == ["first", "second"]
        assert await self.bob.state(self.room) == await self.alice.state(self.room)
        assert (await self.bob.ask("GET", room_path(self.room, "state", "m.room.topic", ""))).status == 404
        again = (await self.lazy(self.bob, token))["rooms"]["join"][self.room]
        bodies = [event["content"].get("body") for event in again["timeline"]["events"]]
        assert "ha" not in bodies
        assert "second" in bodies
        await self.bob.say(self.room, "third")
        await self.alice.hears(self.room, "third")

    @in_world
    async def test_sliding_sync_shows_the_room_at_once_to_who_loads_members_lazily(self) -> None:
        await self.begin()
        await self.bob.join(self.room, self.alpha)
        path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
        body = {"lists": {"all": {"ranges": [[0, 9]], "timeline_limit": 5, "required_state": []}}}

        async def slide(required: list[list[str]], pos: str | None = None) -> Any:
            body["lists"]["all"]["required_state"] = required
            query = {} if pos is None else {"pos": pos}
            reply = await self.bob.ask_path("POST", path, {**body, "conn_id": required[0][1]}, query)
            assert reply.status == 200, reply.text
            return reply.json

        lazy, every = [["m.room.member", "$LAZY"]], [["m.room.member", "*"]]
        shown, hidden = await slide(lazy), await slide(every)
        assert self.room in shown["rooms"]
        assert self.room not in hidden["rooms"]
        await self.becomes_whole()
        assert (await slide(lazy, shown["pos"]))["rooms"][self.room]["joined_count"] == 8
        state = (await slide(every, hidden["pos"]))["rooms"][self.room]["required_state"]
        assert len(state) == 8
