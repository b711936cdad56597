"""Sliding sync of rooms that other servers brought."""

from typing import Any

import pytest

from tests.client_api.sliding_client import DEPLOYED, EVERYTHING, rooms_list
from tests.federation.whole_servers import Person, World, escaped, eventually, in_world


class Window:
    """What somebody's client looks at; answers are taken in one after the other."""

    def __init__(self, person: Person, limit: int = 5) -> None:
        self.person = person
        self.limit = limit
        self.pos: str | None = None
        self.rooms: dict[str, dict[str, Any]] = {}

    async def slide(self, **filters: Any) -> Any:
        """Ask for what is new."""
        body = {"lists": {"all": rooms_list(limit=self.limit, state=EVERYTHING, **filters)}}
        query = {"timeout": 0} | ({"pos": self.pos} if self.pos else {})
        reply = await self.person.ask_path("POST", DEPLOYED, body, query)
        assert reply.status == 200, reply.text
        self.pos = reply.json["pos"]
        for room_id, news in reply.json["rooms"].items():
            known = self.rooms.get(room_id, {})
            if news.get("initial") or news.get("limited"):
                known = {**known, "timeline": []}
            timeline = [*known.get("timeline", ()), *news.get("timeline", ())]
            self.rooms[room_id] = {**known, **news, "timeline": timeline}
        return reply.json

    async def said(self, room: str) -> list[str]:
        """What was said in a room, as far as the client knows."""
        await self.slide()
        events = self.rooms.get(room, {}).get("timeline", ())
        return [event["content"]["body"] for event in events if "body" in event["content"]]


@pytest.mark.usefixtures("internet")
class TestSlidingSync(World):
    """On one of two servers."""

    @in_world
    async def test_room_of_another_server_comes_with_its_state_and_what_is_said(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room(name="Far away")
        await alice.say(room, "before")
        window = Window(bob)
        await window.slide()
        await bob.join(room, alpha)
        await window.slide()
        shown = window.rooms[room]
        assert (shown["initial"], shown["name"], shown["joined_count"]) == (True, "Far away", 2)
        state = {(event["type"], event["state_key"]): event["event_id"] for event in shown["required_state"]}
        assert state == await bob.state(room)
        await alice.say(room, "after")

        async def heard() -> bool:
            return (await window.said(room))[-1:] == ["after"]

        await eventually(heard)

    @in_world
    async def test_invite_by_another_server_is_listed_until_it_is_declined(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.create(name="Secret", preset="private_chat")
        window = Window(bob)
        await window.slide()
        await alice.invite(room, bob)
        answer = await window.slide(is_invite=True)
        assert answer["lists"]["all"]["ops"][0]["room_ids"] == [room]
        shown = answer["rooms"][room]
        assert shown["initial"] is True
        invite = [event for event in shown["invite_state"] if event.get("state_key") == bob.user_id]
        assert [event["content"]["membership"] for event in invite] == ["invite"]
        assert {"type": "m.room.name", "content": {"name": "Secret"}}.items() <= next(
            event for event in shown["invite_state"] if event["type"] == "m.room.name"
        ).items()
        await bob.act(room, "leave")
        answer = await window.slide(is_invite=True)
        assert answer["lists"]["all"]["count"] == 0
        assert answer["rooms"][room]["membership"] == "leave"

    @in_world
    async def test_knock_at_another_server_is_listed_and_becomes_a_room(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        rule = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
        room = await alice.create(name="Lodge", initial_state=[rule])
        window = Window(bob)
        await window.slide()
        await bob.do("POST", f"/knock/{escaped(room)}", {}, {"via": [alpha.name]})
        shown = (await window.slide())["rooms"][room]
        assert {"m.room.name", "m.room.join_rules"} <= {event["type"] for event in _stripped(shown)}
        await alice.invite(room, bob)

        async def invited() -> bool:
            await window.slide()
            events = _stripped(window.rooms[room])
            own = [event for event in events if event.get("state_key") == bob.user_id]
            return bool(own) and own[0]["content"]["membership"] == "invite"

        await eventually(invited)
        await bob.join(room, alpha)
        await window.slide()
        assert window.rooms[room]["joined_count"] == 2

    @in_world
    async def test_gap_between_servers_is_told_as_a_limited_timeline(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room(name="Gap")
        await bob.join(room, alpha)
        window = Window(bob)
        await window.slide()
        beta.cut_off()
        for number in range(12):
            await alice.say(room, f"unheard {number}")
        await alice.set_state(room, "m.room.topic", {"topic": "changed meanwhile"})
        beta.reconnect()
        alpha.app.federation.sender.retry(beta.name)
        await alice.say(room, "heard")

        async def heard() -> bool:
            return (await window.said(room))[-1:] == ["heard"]

        await eventually(heard)
        assert window.rooms[room]["timeline"][-1]["content"]["body"] == "heard"
        whole = Window(bob, limit=50)
        await whole.slide()
        assert [event["event_id"] for event in whole.rooms[room]["timeline"]][-3:] == [
            event["event_id"] for event in window.rooms[room]["timeline"]
        ][-3:]
        state = {event["type"]: event["content"] for event in whole.rooms[room]["required_state"]}
        assert state["m.room.topic"] == {"topic": "changed meanwhile"}


def _stripped(room: dict[str, Any]) -> list[dict[str, Any]]:
    """The stripped state of an invite or a knock."""
    return list(room.get("invite_state") or room.get("knock_state") or room.get("stripped_state") or ())
