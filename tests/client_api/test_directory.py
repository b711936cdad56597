"""The directory of published rooms."""

from collections.abc import Mapping
from typing import Any

import pytest

from homeserver.app.wiring_rooms import Remotes
from homeserver.protocol.identifiers import ServerName
from storage.database import Database
from tests.client_api.rooms_site import V3, Person, RoomsSite

PATH = f"{V3}/publicRooms"


def _search(person: Person, **body: Any) -> list[str]:
    reply = person.http.post(PATH, body)
    assert reply.status == 200, reply.text
    return [entry["room_id"] for entry in reply.json["chunk"]]


def test_a_listed_room_is_described(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    world_readable = {"history_visibility": "world_readable"}
    room = alice.create(
        visibility="public",
        name="Hall",
        topic="Everything",
        room_alias_name="hall",
        creation_content={"type": "m.space"},
        initial_state=[
            {"type": "m.room.avatar", "content": {"url": "mxc://test/hall"}},
            {"type": "m.room.history_visibility", "content": world_readable},
            {"type": "m.room.guest_access", "content": {"guest_access": "can_join"}},
        ],
    )
    assert rooms.http.get(PATH).json == {
        "chunk": [
            {
                "room_id": room,
                "name": "Hall",
                "topic": "Everything",
                "canonical_alias": "#hall:test",
                "avatar_url": "mxc://test/hall",
                "room_type": "m.space",
                "join_rule": "public",
                "num_joined_members": 1,
                "world_readable": True,
                "guest_can_join": True,
            }
        ],
        "total_room_count_estimate": 1,
    }


def test_the_directory_is_paged_in_both_directions_largest_rooms_first(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    listed = [alice.create(visibility="public") for _ in range(5)]
    bob.join(listed[3])
    everything = [entry["room_id"] for entry in rooms.http.get(PATH).json["chunk"]]
    assert everything[0] == listed[3]
    assert sorted(everything) == sorted(listed)

    def page(since: str | None) -> Mapping[str, Any]:
        query: dict[str, str | int] = {"limit": 2} | ({"since": since} if since else {})
        answer: Mapping[str, Any] = rooms.http.get(PATH, query).json
        return answer

    first = page(None)
    second = page(first["next_batch"])
    third = page(second["next_batch"])
    ids = [[entry["room_id"] for entry in each["chunk"]] for each in (first, second, third)]
    assert ids == [everything[:2], everything[2:4], everything[4:]]
    assert "prev_batch" not in first
    assert "next_batch" not in third
    back = page(third["prev_batch"])
    assert back["chunk"] == second["chunk"]
    front = page(back["prev_batch"])
    assert front["chunk"] == first["chunk"]
    assert "prev_batch" not in front


def test_the_directory_is_searched_in_names_topics_and_aliases(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    named = alice.create(visibility="public", name="Garden of 100%")
    about = alice.create(visibility="public", topic="All about gardens")
    aliased = alice.create(visibility="public", room_alias_name="my_garden")
    alice.create(visibility="public", name="Kitchen")
    assert set(_search(alice, filter={"generic_search_term": "GARDEN"})) == {named, about, aliased}
    assert _search(alice, filter={"generic_search_term": "100%"}) == [named]
    assert _search(alice, filter={"generic_search_term": "y_g"}) == [aliased]
    assert _search(alice, filter={"generic_search_term": "\\"}) == []


def test_the_directory_is_searched_by_room_type(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    space = alice.create(visibility="public", creation_content={"type": "m.space"})
    plain = alice.create(visibility="public")
    assert _search(alice, filter={"room_types": ["m.space"]}) == [space]
    assert _search(alice, filter={"room_types": [None]}) == [plain]
    assert set(_search(alice, filter={"room_types": ["m.space", None]})) == {space, plain}
    assert _search(alice, filter={"room_types": []}) == []


def test_rooms_are_listed_and_taken_off_by_those_with_power(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    path = f"{V3}/directory/list/room/{room}"
    assert rooms.http.get(path).json == {"visibility": "private"}
    assert bob.http.put(path, {"visibility": "public"}).errcode == "M_FORBIDDEN"
    assert alice.http.put(path, {"visibility": "public"}).json == {}
    assert rooms.http.get(path).json == {"visibility": "public"}
    assert _search(bob) == [room]
    assert alice.http.put(path, {"visibility": "private"}).status == 200
    assert _search(bob) == []
    assert alice.http.put(path, {}).status == 200
    assert _search(bob) == [room]
    assert alice.http.put(path, {"visibility": "odd"}).errcode == "M_BAD_JSON"
    assert rooms.http.get(f"{V3}/directory/list/room/!unknown:test").errcode == "M_NOT_FOUND"
    assert alice.http.put(f"{V3}/directory/list/room/!unknown:test", {}).errcode == "M_NOT_FOUND"


def test_a_room_that_everybody_left_is_not_listed(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create(visibility="public")
    alice.act("leave", room)
    assert _search(alice) == []


@pytest.mark.parametrize("query", [{"since": "odd"}, {"limit": "-1"}, {"limit": "x"}])
def test_wrong_queries_are_refused(rooms: RoomsSite, query: dict[str, str]) -> None:
    assert rooms.http.get(PATH, query).errcode == "M_INVALID_PARAM"


class _OtherDirectories:
    async def public_rooms(self, server: ServerName, request: dict[str, Any]) -> dict[str, Any]:
        return {"chunk": [], "asked": [server, request]}


def test_the_directory_of_another_server_is_asked_for_users_alone(database: Database) -> None:
    site = RoomsSite(database, remotes=Remotes(directory=_OtherDirectories()))
    alice = site.person("alice")
    body = {"limit": 5, "filter": {"generic_search_term": "x"}}
    reply = alice.http.post(PATH, body, {"server": "elsewhere"})
    assert reply.json["asked"] == ["elsewhere", body]
    assert site.http.get(PATH, {"server": "elsewhere"}).errcode == "M_MISSING_TOKEN"
    assert alice.http.get(PATH, {"server": "test"}).json["chunk"] == []
