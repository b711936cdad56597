"""Events that come in odd order, build on what is not here, or fork the room."""

from typing import Any

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomID
from homeserver.services.rooms.draft import MAX_EXTREMITIES
from storage.tables.rooms import Rooms
from tests.federation.pdu_server import PduServer, RoomOfPdus
from tests.federation.test_sliding_sync import Window
from tests.federation.test_transactions import Shared
from tests.federation.whole_servers import escaped, in_world, room_path


def gives_events(server: PduServer, *events: Event) -> None:
    """Have a server answer the question for missing events."""
    pdus = [event.pdu for event in events]
    server.answers["get_missing_events"] = lambda request: (200, {"events": pdus})


def gives_state(server: PduServer, room: RoomOfPdus, *more: Event) -> None:
    """Have a server tell the state before any event."""
    events = {**room.state, **{event.key: event for event in more}}
    for event in events.values():
        server.by_id[event.event_id] = event
    ids = [event.event_id for event in events.values()]
    server.answers["state_ids"] = lambda request: (200, {"pdu_ids": ids, "auth_chain_ids": ids})


def with_a_gap(server: PduServer, room: RoomOfPdus) -> tuple[Event, Event, Event]:
    """Three messages on each other; of the first the server then knows nothing, but for the state around it."""
    lost, between, after = (room.message(text) for text in ("lost", "between", "after the gap"))
    del server.by_id[lost.event_id]
    gives_events(server, between)
    gives_state(server, room)
    return lost, between, after


@pytest.mark.usefixtures("internet")
class TestOrder(Shared):
    """Of events."""

    @in_world
    async def test_events_in_any_order_become_one_history(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        events = [shared.message(f"message {number}") for number in range(6)]
        answer = await evil.send(alpha, *reversed(events))
        assert all(answer[event.event_id] == {} for event in events)
        assert await alice.texts(room) == [f"message {number}" for number in range(6)]

    @in_world
    async def test_missing_events_are_asked_for(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        first, second, third = (shared.message(text) for text in ("first", "second", "third"))
        gives_events(evil, first, second)
        assert await evil.send(alpha, third) == {third.event_id: {}}
        assert await alice.texts(room) == ["first", "second", "third"]

    @in_world
    async def test_an_event_after_a_gap_is_shown_on_the_state_that_its_server_tells(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        lost, _between, after = with_a_gap(evil, shared)
        await evil.send(alpha, after)
        assert await alice.texts(room) == ["between", "after the gap"]
        rows = alpha.database.rows("select event_id from backward_extremities")
        assert rows == [(lost.event_id,)]
        before = await alice.state(room)
        assert ("m.room.member", evil.user_id) in before

    @in_world
    async def test_a_timeline_does_not_go_back_over_a_gap(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        start = (await alice.sync())["next_batch"]
        said = await alice.say(room, "before the gap")
        _lost, between, after = with_a_gap(evil, shared)
        await evil.send(alpha, after)
        for since in (start, None):
            timeline = (await alice.sync(since))["rooms"]["join"][room]["timeline"]
            assert [event["event_id"] for event in timeline["events"]] == [between.event_id, after.event_id]
            assert timeline["limited"] is True
            query = {"from": timeline["prev_batch"], "dir": "b"}
            earlier = await alice.do("GET", room_path(room, "messages"), None, query)
            assert said in [event["event_id"] for event in earlier["chunk"]]
        window = Window(alice)
        await window.slide()
        assert [event["event_id"] for event in window.rooms[room]["timeline"]] == [
            between.event_id,
            after.event_id,
        ]

    @in_world
    async def test_state_in_a_gap_is_taken_and_authorises_what_comes_after(self) -> None:
        alpha, alice, room, evil, shared = await self.shared(
            power_level_content_override={"state_default": 0}, room_version="12"
        )
        topic = shared.event("m.room.topic", {"topic": "told with the state"}, state_key="")
        named = {"membership": "join", "displayname": "Eve"}
        lost = shared.event("m.room.member", named, state_key=evil.user_id, prev=[topic])
        gives_state(evil, shared, topic)
        shared.last = shared.state["m.room.member", evil.user_id] = lost
        between, after = shared.message("after the gap"), shared.message("and on")
        gives_events(evil, between)
        await evil.send(alpha, after)
        assert await alice.texts(room) == ["after the gap", "and on"]
        state = await alice.state(room)
        assert state["m.room.topic", ""] == topic.event_id
        assert state["m.room.member", evil.user_id] == lost.event_id

    @in_world
    async def test_an_event_after_a_gap_of_which_nothing_is_told_is_put_off(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        lost = shared.message("lost")
        del evil.by_id[lost.event_id]
        gives_state(evil, shared)
        after = shared.message("after the gap")
        assert await evil.send(alpha, after) == {after.event_id: {}}
        assert await alice.texts(room) == []
        assert alpha.database.rows("select event_id from early_events") == [(after.event_id,)]
        shared.last = shared.state["m.room.member", evil.user_id]
        await evil.send(alpha, shared.message("go on"))
        assert await alice.texts(room) == ["go on"]

    @in_world
    async def test_a_lost_event_that_comes_after_all_fills_its_gap(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        lost, _between, after = with_a_gap(evil, shared)
        await evil.send(alpha, after)
        await evil.send(alpha, lost)
        assert alpha.database.rows("select event_id from backward_extremities") == []
        assert set(await alice.texts(room)) == {"lost", "between", "after the gap"}
        said = await alice.say(room, "go on")
        target = f"/_matrix/federation/v1/event/{said}"
        _, given = await evil.ask(alpha, "GET", target)
        assert given["pdus"][0]["prev_events"] == [after.event_id]


@pytest.mark.usefixtures("internet")
class TestForks(Shared):
    """Of the room's graph."""

    @in_world
    async def test_a_fork_is_closed_by_the_next_event(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        base = shared.last
        left = shared.event("m.room.message", {"body": "left"}, prev=[base])
        right = shared.event("m.room.message", {"body": "right"}, prev=[base])
        await evil.send(alpha, left, right)
        said = await alice.say(room, "joined up")
        _, given = await evil.ask(alpha, "GET", f"/_matrix/federation/v1/event/{said}")
        assert set(given["pdus"][0]["prev_events"]) == {left.event_id, right.event_id}

    @in_world
    async def test_a_room_is_kept_from_falling_into_ever_more_forks(self) -> None:
        alpha, alice, room, evil, shared = await self.shared(
            power_level_content_override={"users_default": 50, "users": {"@alice:alpha.example": 100}},
            room_version="10",
        )
        base = shared.last
        forks = [
            shared.event("m.room.topic", {"topic": f"{number}"}, state_key="", prev=[base])
            for number in range(MAX_EXTREMITIES + 30)
        ]
        for start in range(0, len(forks), 40):
            answer = await evil.send(alpha, *forks[start : start + 40])
            assert set(map(str, answer.values())) == {"{}"}
        head = await alpha.storage.read(lambda tx: Rooms(tx).head(RoomID(room)))
        assert head is not None
        assert len(head.extremities) // 8 == MAX_EXTREMITIES
        await alice.say(room, "still here")
        later = shared.event("m.room.message", {"msgtype": "m.text", "body": "on the first"}, prev=[forks[0]])
        assert await evil.send(alpha, later) == {later.event_id: {}}
        assert (await alice.texts(room))[-2:] == ["still here", "on the first"]

    @in_world
    async def test_state_on_both_sides_of_a_fork_is_resolved(self) -> None:
        alpha, alice, room, evil, shared = await self.shared(
            power_level_content_override={"users_default": 50, "users": {"@alice:alpha.example": 100}},
            room_version="10",
        )
        base = shared.last
        left = shared.event("m.room.topic", {"topic": "left"}, state_key="", prev=[base])
        right = shared.event("m.room.topic", {"topic": "right"}, state_key="", prev=[base])
        name = shared.event("m.room.name", {"name": "Named"}, state_key="", prev=[left])
        answer = await evil.send(alpha, left, right, name)
        assert answer == {event.event_id: {} for event in (left, right, name)}
        state = await alice.state(room)
        assert state["m.room.topic", ""] in (left.event_id, right.event_id)
        assert state["m.room.name", ""] == name.event_id

    @in_world
    async def test_a_redaction_that_comes_before_its_target_takes_effect(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        base = shared.last
        target = shared.event("m.room.message", {"body": "regretted"}, prev=[base])
        redaction = shared.event(
            "m.room.redaction", {"redacts": target.event_id}, prev=[base], redacts=target.event_id
        )
        await evil.send(alpha, redaction)
        await evil.send(alpha, target)
        shown: Any = await alice.do("GET", f"/rooms/{escaped(room)}/event/{escaped(target.event_id)}")
        assert shown["content"] == {}

    @in_world
    async def test_who_may_redact_all_may_redact_what_is_not_here_yet(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        bob = await alpha.person("bob")
        await bob.join(room)
        target = shared.event("m.room.message", {"body": "regretted"})
        path = f"/rooms/{escaped(room)}/redact/{escaped(target.event_id)}"
        assert (await bob.ask("PUT", f"{path}/one", {})).errcode == "M_NOT_FOUND"
        await alice.do("PUT", f"{path}/two", {})
        await evil.send(alpha, target)
        shown: Any = await alice.do("GET", f"/rooms/{escaped(room)}/event/{escaped(target.event_id)}")
        assert shown["content"] == {}

    @in_world
    async def test_an_event_of_another_room_is_no_previous_event(self) -> None:
        alpha, alice, room, evil, shared = await self.shared()
        other = await alice.public_room()
        elsewhere = await evil.join(alpha, other)
        await evil.send(alpha, elsewhere.message("over there"))
        crossing = shared.message("crossing over", prev=[elsewhere.last])
        await evil.send(alpha, crossing)
        assert await alice.texts(room) == []
