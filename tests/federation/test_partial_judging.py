"""What comes into a room before its members are known, and what becomes of it when they are.

https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.protocol.errors import NotFound
from homeserver.services.rooms import partial_rooms
from tests.federation.pdu_server import PduServer, RoomOfPdus
from tests.federation.test_partial_joins import ON, PartialWorld
from tests.federation.whole_servers import Gate, Person, eventually, in_world, room_path

KICKER = "@eve:evil.example"


class JudgingWorld(PartialWorld):
    """Eve was banned before we joined, and writes as if she was not."""

    async def begin_with_eve(self, **powers: Any) -> tuple[PduServer, RoomOfPdus]:
        """The room, her server, and the room as she sees it."""
        await self.begin(power_level_content_override=powers)
        eve = PduServer(self, "evil.example")
        hers = await eve.join(self.alpha, self.room)
        self.vouch(eve, hers)
        await self.alice.act(self.room, "ban", user_id=eve.user_id)
        return eve, hers

    def vouch(self, server: PduServer, room: RoomOfPdus) -> None:
        """Let a server tell what authorises its events."""
        chain = [event.pdu for key, event in room.state.items() if key[0] != "m.room.name"]
        server.answers["/event_auth/"] = lambda request: (200, {"auth_chain": chain})

    async def redact(self, person: Person, event_id: str) -> None:
        """Redact something."""
        path = room_path(self.room, "redact", event_id, self.transaction())
        await person.do("PUT", path, {})

    async def comes_to(self, *texts: str) -> None:
        """Wait until Bob reads just that."""

        async def reads() -> bool:
            return await self.bob.texts(self.room) == list(texts)

        await eventually(reads)


@pytest.mark.usefixtures("internet")
class TestPartialJudging(JudgingWorld):
    """Redactions, and events that were refused by what was not true."""

    @in_world
    async def test_what_a_banned_user_redacts_is_there_when_the_ban_is_known(self) -> None:
        eve, hers = await self.begin_with_eve(redact=0)
        await self.bob.join(self.room, self.alpha)
        first = await self.bob.say(self.room, "first")
        await self.alice.hears(self.room, "first")
        redaction = hers.event("m.room.redaction", {"redacts": first}, prev=[first], depth=50)
        hers.last = redaction
        message = hers.message("ha", prev=[redaction])
        assert await eve.send(self.beta, redaction, message) == {redaction.event_id: {}, message.event_id: {}}
        assert await self.bob.texts(self.room) == ["first", "ha"]
        await self.becomes_whole()
        await self.comes_to("first")
        await self.bob.say(self.room, "second")
        await self.comes_to("first", "second")
        assert not self.beta.database.rows("select 1 from doubtful_sticky_events")

    @in_world
    async def test_redactions_of_others_take_effect_when_the_members_are_known_and_our_own_at_once(
        self,
    ) -> None:
        await self.begin()
        await self.bob.join(self.room, self.alpha)
        typo = await self.members[0].say(self.room, "typo")
        spam = await self.members[1].say(self.room, "spam")
        await self.bob.hears(self.room, "spam")
        await self.redact(self.members[0], typo)
        await self.redact(self.alice, spam)
        await self.redact(self.bob, await self.bob.say(self.room, "oops"))
        await self.members[0].say(self.room, "done")
        await self.comes_to("typo", "spam", "done")
        assert self.is_partial()
        await self.becomes_whole()
        await self.comes_to("done")
        history = await self.bob.history(self.room)
        redacted = {event["content"].get("redacts") for event in history}
        assert {typo, spam} <= redacted

    @in_world
    async def test_what_a_banned_user_forbade_comes_when_the_ban_is_known(self) -> None:
        eve, hers = await self.begin_with_eve(users={KICKER: 60}, events={"m.room.topic": 0})
        frank = PduServer(self, "frank.example")
        his = await frank.join(self.alpha, self.room)
        self.vouch(frank, his)
        await self.bob.join(self.room, self.alpha)
        first = await self.bob.say(self.room, "first")
        auth = [*hers.auth_ids(), his.state["m.room.member", frank.user_id].event_id]
        self.vouch(eve, RoomOfPdus(eve, hers.version, his.state | hers.state, hers.last))
        kick = hers.event(
            "m.room.member",
            {"membership": "leave"},
            state_key=frank.user_id,
            prev=[first],
            auth=auth,
            depth=50,
        )
        assert await eve.send(self.beta, kick) == {kick.event_id: {}}
        said = his.message("still here", prev=[first], depth=50)
        topic = his.event("m.room.topic", {"topic": "mine"}, state_key="", prev=[kick])
        await frank.send(self.beta, said, topic)
        assert await self.bob.texts(self.room) == ["first"]
        path = room_path(self.room, "state", "m.room.topic", "")
        assert (await self.bob.ask("GET", path)).status == 404
        assert self.is_partial()
        await self.becomes_whole()
        await self.comes_to("first", "still here")

        async def has_topic() -> bool:
            return bool((await self.bob.ask("GET", path)).json == {"topic": "mine"})

        await eventually(has_topic)
        assert (await self.bob.members(self.room))[frank.user_id] == "join"

    @in_world
    async def test_who_reads_up_to_the_join_waits_a_while_for_what_was_before_it(self) -> None:
        await self.begin()
        await self.alice.say(self.room, "long ago")
        await self.bob.join(self.room, self.alpha)
        await self.bob.say(self.room, "now")
        assert await self.bob.texts(self.room) == ["now"]
        self.put(partial_rooms, "HISTORY_S", 30.0)
        reading = Deferred.fromCoroutine(self.bob.texts(self.room))
        assert self.is_partial()
        self.gate.open()
        assert await reading == ["long ago", "now"]

    @in_world
    async def test_typing_of_members_who_are_not_known_is_seen(self) -> None:
        await self.begin()
        await self.bob.join(self.room, self.alpha)
        member = self.members[0]
        path = room_path(self.room, "typing", member.user_id)

        async def typing() -> Any:
            rooms = (await self.lazy(self.bob))["rooms"]["join"]
            events = rooms[self.room]["ephemeral"]["events"]
            return [event["content"]["user_ids"] for event in events if event["type"] == "m.typing"]

        async def is_seen() -> bool:
            return bool(await typing() == [[member.user_id]])

        async def has_ended() -> bool:
            return await typing() in ([], [[]])

        await member.do("PUT", path, {"typing": True, "timeout": 30_000})
        await eventually(is_seen)
        await member.do("PUT", path, {"typing": False})
        await eventually(has_ended)
        assert self.is_partial()

    @in_world
    async def test_who_does_not_have_the_event_before_the_join_is_asked_for_the_state_at_the_join(
        self,
    ) -> None:
        forgotten: list[bool] = []

        def forget(answer: Any) -> Any:
            if not forgotten:
                forgotten.append(True)
                raise NotFound("not here yet")
            return answer

        await self.begin(ON, Gate("/state_ids/", forget))
        await self.bob.join(self.room, self.alpha)
        await self.becomes_whole()
        assert forgotten
        assert await self.bob.state(self.room) == await self.alice.state(self.room)

    @in_world
    async def test_after_an_orderly_end_the_next_start_goes_on_at_once(self) -> None:
        await self.begin()
        await self.bob.join(self.room, self.alpha)
        await self.gate_is_asked()
        await self.beta.stop()
        self.gate.open()
        await self.beta.start()
        await self.is_whole()
        assert await self.bob.state(self.room) == await self.alice.state(self.room)

    @in_world
    async def test_a_join_under_way_goes_on_at_once_after_an_orderly_end(self) -> None:
        door = Gate("/v2/send_join/")
        await self.begin(ON, door)
        joining = Deferred.fromCoroutine(self.bob.try_join(self.room, self.alpha))
        _ = joining.addErrback(lambda _: None)

        async def asked() -> bool:
            return door.asked > 0

        await eventually(asked)
        await self.beta.stop()
        door.open()
        self.gate.open()
        await self.beta.start()

        async def is_in() -> bool:
            return self.room in (await self.bob.do("GET", "/joined_rooms"))["joined_rooms"]

        await eventually(is_in)

    async def gate_is_asked(self) -> None:
        """Wait until the members were asked for."""

        async def asked() -> bool:
            return self.gate.asked > 0

        await eventually(asked)
