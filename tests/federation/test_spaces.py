"""Spaces whose rooms are on several servers, and events by date that another server has."""

from typing import Any

import pytest

from tests.federation.whole_servers import Person, World, in_world

V1 = "/_matrix/client/v1"


@pytest.mark.usefixtures("internet")
class TestSpaces(World):
    """What another server tells is shown as far as the user may see it."""

    @in_world
    async def test_rooms_of_another_server_are_in_the_tree(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        there = await bob.public_room(creation_content={"type": "m.space"}, name="Theirs")
        below, secret = await bob.public_room(name="Below"), await bob.create(preset="private_chat")
        for child in (below, secret):
            await bob.set_state(there, "m.space.child", {"via": [beta.name]}, child)
        space = await alice.public_room(creation_content={"type": "m.space"})
        await alice.set_state(space, "m.space.child", {"via": [beta.name]}, there)
        rooms = (await _get(alice, f"/rooms/{space}/hierarchy"))["rooms"]
        assert [room["room_id"] for room in rooms] == [space, there, below]
        assert [room.get("name") for room in rooms[1:]] == ["Theirs", "Below"]
        beta.cut_off()
        again = (await _get(alice, f"/rooms/{space}/hierarchy"))["rooms"]
        assert [room["room_id"] for room in again] == [space, there, below]

    @in_world
    async def test_a_room_of_another_server_is_summed_up(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room, secret = await bob.public_room(name="Tea"), await bob.create(preset="private_chat")
        summary = await _get(alice, f"/room_summary/{room}", {"via": [beta.name]})
        assert (summary["name"], summary["membership"]) == ("Tea", "leave")
        reply = await _try(alice, f"/room_summary/{secret}", {"via": [beta.name]})
        assert reply.errcode == "M_NOT_FOUND"

    @in_world
    async def test_the_directory_of_another_server_is_searched_by_words_and_types(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        listed = {"visibility": "public"}
        space = await bob.public_room(creation_content={"type": "m.space"}, name="Green tea", **listed)
        black, milk = (
            await bob.public_room(name="Black tea", **listed),
            await bob.public_room(name="Milk", **listed),
        )
        found = {
            name: [room["room_id"] for room in (await _listed(alice, beta.name, {"filter": filter}))["chunk"]]
            for name, filter in (
                ("tea", {"generic_search_term": "TEA"}),
                ("spaces", {"room_types": ["m.space"]}),
                ("plain", {"room_types": [None]}),
                ("plain tea", {"room_types": [None], "generic_search_term": "tea"}),
            )
        }
        assert {name: set(rooms) for name, rooms in found.items()} == {
            "tea": {space, black},
            "spaces": {space},
            "plain": {black, milk},
            "plain tea": {black},
        }
        page = await _listed(alice, beta.name, {"limit": 2})
        rest = await _listed(alice, beta.name, {"limit": 2, "since": page["next_batch"]})
        assert {room["room_id"] for room in page["chunk"] + rest["chunk"]} == {space, black, milk}
        assert "next_batch" not in rest

    @in_world
    async def test_an_event_from_before_the_join_is_found_by_its_date(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await alpha.person("alice"), await beta.person("bob")
        room = await bob.public_room()
        old = await bob.say(room, "old")
        for number in range(30):
            await bob.say(room, str(number))
        await alice.join(room, beta)
        when = (await bob.do("GET", f"/rooms/{room}/event/{old}"))["origin_server_ts"]
        found = await _get(alice, f"/rooms/{room}/timestamp_to_event", {"ts": when, "dir": "f"})
        assert found == {"event_id": old, "origin_server_ts": when}
        assert (await alice.do("GET", f"/rooms/{room}/event/{old}"))["content"]["body"] == "old"


async def _listed(who: Person, server: str, body: dict[str, Any]) -> Any:
    reply = await who.ask_path("POST", "/_matrix/client/v3/publicRooms", body, {"server": server})
    assert reply.status == 200, reply.text
    return reply.json


async def _try(who: Person, path: str, query: dict[str, Any] | None = None) -> Any:
    return await who.ask_path("GET", f"{V1}{path}", None, query)


async def _get(who: Person, path: str, query: dict[str, Any] | None = None) -> Any:
    reply = await _try(who, path, query)
    assert reply.status == 200, reply.text
    return reply.json
