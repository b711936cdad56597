"""Relations of events that come from other servers, in whatever order."""

from typing import Any

import pytest

from tests.federation.whole_servers import Person, World, escaped, eventually, in_world, room_path


async def send(person: Person, room: str, text: str, relates_to: Any) -> str:
    """Say something that relates to an event; its ID."""
    body = {"msgtype": "m.text", "body": text, "m.relates_to": relates_to}
    if relates_to["rel_type"] == "m.replace":
        body["m.new_content"] = {"msgtype": "m.text", "body": text}
    path = room_path(room, "send", "m.room.message", person.server.world.transaction())
    return str((await person.do("PUT", path, body))["event_id"])


async def related(person: Person, room: str, event_id: str) -> list[str]:
    """What relates to an event, the latest first."""
    path = f"/_matrix/client/v1/rooms/{escaped(room)}/relations/{escaped(event_id)}"
    reply = await person.ask_path("GET", path, None, {"limit": 50})
    return [event["event_id"] for event in reply.json["chunk"]] if reply.status == 200 else []


async def bundle(person: Person, room: str, event_id: str) -> Any:
    """What an event says of its children."""
    event = await person.do("GET", room_path(room, "event", event_id))
    return event["unsigned"].get("m.relations", {})


@pytest.mark.usefixtures("internet")
class TestRelations(World):
    """Between two servers of ours."""

    @in_world
    async def test_relations_arrive_and_leave(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        await bob.join(room, alpha)
        root = await alice.say(room, "root")
        await bob.hears(room, "root")
        edited = await send(alice, room, "better", {"rel_type": "m.replace", "event_id": root})
        reply = await send(bob, room, "reply", {"rel_type": "m.thread", "event_id": root})
        await bob.hears(room, "better")
        await alice.hears(room, "reply")
        for person in (alice, bob):
            assert set(await related(person, room, root)) == {edited, reply}
            told = await bundle(person, room, root)
            assert told["m.replace"]["event_id"] == edited
            assert told["m.thread"]["latest_event"]["event_id"] == reply
            assert told["m.thread"]["current_user_participated"] is True
        await alice.do("PUT", room_path(room, "redact", edited, self.transaction()), {})

        async def gone() -> bool:
            return await related(bob, room, root) == [reply]

        await eventually(gone)
        assert set(await bundle(bob, room, root)) == {"m.thread"}

    @in_world
    async def test_relations_in_fetched_history_are_found(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await alice.public_room()
        root = await alice.say(room, "root")
        edited = await send(alice, room, "better", {"rel_type": "m.replace", "event_id": root})
        gone = await send(alice, room, "gone", {"rel_type": "m.reference", "event_id": root})
        replies = [
            await send(alice, room, f"reply {number}", {"rel_type": "m.thread", "event_id": root})
            for number in range(3)
        ]
        await alice.do("PUT", room_path(room, "redact", gone, self.transaction()), {})
        await bob.join(room, alpha)
        assert "root" in await bob.texts(room)
        assert await related(bob, room, root) == [*replies[::-1], edited]
        told = await bundle(bob, room, root)
        assert set(told) == {"m.replace", "m.thread"}
        assert told["m.thread"]["count"] == 3
        assert told["m.thread"]["latest_event"]["event_id"] == replies[-1]
        await beta.stop()
        await beta.start()
        assert await related(bob, room, root) == [*replies[::-1], edited]
