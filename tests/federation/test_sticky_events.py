"""Sticky events between servers. https://github.com/matrix-org/matrix-spec-proposals/pull/4354"""

from typing import Any

import pytest

from federation.sender import mailbox
from homeserver.protocol.events.event import Event
from tests.federation.pdu_server import PduServer, RoomOfPdus
from tests.federation.test_sender import texts_of
from tests.federation.test_transactions import Shared
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
    events = told.get("timeline", {}).get("events", []) + told.get("msc4354_sticky", {}).get("events", [])
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

    @in_world
    async def test_a_server_that_joins_gets_more_than_a_transaction_holds(self) -> None:
        alpha = await self.server("alpha.example")
        alice = await alpha.person("alice")
        evil = PduServer(self, "evil.example")
        room = await alice.public_room()
        texts = [f"sticky {number}" for number in range(130)]
        for text in texts:
            await stick(alice, room, text)
        bad, refused = "sticky 125", []

        def receive(request: dict[str, Any]) -> tuple[int, Any]:
            if any(pdu["content"].get("body") == bad for pdu in request["body"]["pdus"]):
                refused.append(request)
                return 400, {"errcode": "M_UNKNOWN", "error": "no"}
            evil.received.append(request["body"])
            return 200, {"pdus": {}}

        evil.answers["send"] = receive
        self.put(mailbox, "FIRST_PAUSE_S", 0.05)
        await evil.join(alpha, room)

        async def all_there() -> bool:
            return len(texts_of(evil)) == 129

        await eventually(all_there)
        assert texts_of(evil) == [text for text in texts if text != bad]
        assert max(len(body["pdus"]) for body in evil.received) <= 50
        assert refused

    @in_world
    async def test_what_erased_users_said_is_not_given_to_servers_that_join_later(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        carol = await alpha.person("carol")
        room = await alice.public_room()
        await carol.join(room)
        await stick(carol, room, "of the erased")
        await stick(alice, room, "of the others")
        auth = {"type": "m.login.password", "user": "carol", "password": "correct horse"}
        await carol.do("POST", "/account/deactivate", {"auth": auth, "erase": True})
        await bob.join(room, alpha)
        await hears(bob, room, "of the others")
        rows = beta.database.rows("select json from events")
        assert not [json for (json,) in rows if "of the erased" in str(json)]

    @in_world
    async def test_sticky_events_of_history_are_told_when_history_comes(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        carol = await alpha.person("carol")
        await carol.join(room)
        await stick(carol, room, "said long ago")
        for number in range(3):
            await alice.say(room, f"talk {number}")
        alpha.app.federation.sender._stopped = True  # it does not push what is sticky
        await bob.join(room, alpha)
        since = (await bob.sync())["next_batch"]
        await bob.texts(room)  # asks for what is missing
        told = (await bob.rooms("join", since))[room]["timeline"]["events"]
        assert [each["content"]["body"] for each in told if "msc4354_sticky" in each] == ["said long ago"]
        assert await bob.texts(room) == ["said long ago", "talk 0", "talk 1", "talk 2"]
        assert len(beta.database.rows("select event_id from events where type = 'm.rtc.member'")) == 1


@pytest.mark.usefixtures("internet")
class TestDoubtfulEvents(Shared):
    """Sticky events that the room did not allow when they came."""

    @in_world
    async def test_a_sticky_event_is_shown_once_its_sender_is_allowed_to_speak(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        await alice.act(room, "ban", user_id=evil.user_id)
        late, plain = self.late(shared, "late"), shared.message("as if before the ban")
        await evil.send(alpha, late)
        await evil.send(alpha, plain)
        assert await alice.texts(room) == []
        since = (await alice.sync())["next_batch"]
        await alice.act(room, "unban", user_id=evil.user_id)
        assert await alice.texts(room) == []
        await evil.join(alpha, room)
        await eventually(lambda: self.told(alice, room, since, "late"))
        assert await alice.texts(room) == ["late"]
        assert alpha.database.rows("select * from doubtful_sticky_events") == []
        after = await alice.say(room, "on we go")
        assert (await alice.history(room))[-1]["event_id"] == after
        await hears(alice, room, "late")

    @in_world
    async def test_what_happened_while_the_server_was_stopped_is_looked_at_when_it_starts(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        await alice.act(room, "ban", user_id=evil.user_id)
        await evil.send(alpha, self.late(shared, "late"))
        alpha.app.federation.shared.second_looks.stop()
        await alice.act(room, "unban", user_id=evil.user_id)
        await evil.join(alpha, room)
        assert await alice.texts(room) == []
        await alpha.die()
        await alpha.start()

        async def shown() -> bool:
            return await alice.texts(room) == ["late"]

        await eventually(shown)

    @in_world
    async def test_what_is_sticky_no_more_stays_away(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        await alice.act(room, "ban", user_id=evil.user_id)
        await evil.send(alpha, self.late(shared, "short", duration=1))
        await alice.act(room, "unban", user_id=evil.user_id)
        await evil.join(alpha, room)
        await alice.say(room, "on we go")
        assert await alice.texts(room) == ["on we go"]

    def late(self, shared: RoomOfPdus, text: str, duration: int = 600_000) -> Event:
        """A sticky event on top of what the other server knows of the room."""
        shared.last = shared.event(
            "m.room.message", {"msgtype": "m.text", "body": text}, msc4354_sticky={"duration_ms": duration}
        )
        return shared.last

    async def told(self, person: Person, room: str, since: str, text: str) -> bool:
        """Whether a sync tells of something that was said."""
        timeline = (await person.rooms("join", since)).get(room, {}).get("timeline", {"events": []})
        return text in [each["content"].get("body") for each in timeline["events"]]
