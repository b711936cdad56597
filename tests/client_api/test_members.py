"""Who is in which room."""

from typing import Any

from tests.client_api.rooms_site import V3, Person, RoomsSite, room_path


def _members(person: Person, room: str, **query: str) -> dict[str, str]:
    reply = person.http.get(room_path(room, "members"), query)
    assert reply.status == 200, reply.text
    return {event["state_key"]: event["content"]["membership"] for event in reply.json["chunk"]}


def test_members_are_listed_by_membership(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    room = alice.public_room()
    bob.join(room)
    alice.invite(room, carol)
    a, b, c = alice.user_id, bob.user_id, carol.user_id
    assert _members(alice, room) == {a: "join", b: "join", c: "invite"}
    assert _members(alice, room, membership="join") == {a: "join", b: "join"}
    assert _members(alice, room, not_membership="join") == {c: "invite"}
    either = {"membership": "join", "not_membership": "leave"}
    assert _members(alice, room, **either) == {a: "join", b: "join", c: "invite"}
    reply = alice.http.get(room_path(room, "members"), {"membership": "odd"})
    assert reply.errcode == "M_INVALID_PARAM"


def test_members_are_listed_as_they_were_at_a_point(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    room = alice.public_room()
    bob.join(room)
    live = alice.page(room, limit=1)["start"]
    place = alice.page(room, "f", limit=100, to=live)["chunk"]
    bob.act("leave", room)
    carol.join(room)
    expected = {alice.user_id: "join", bob.user_id: "join"}
    assert _members(alice, room, at=live) == expected
    assert len(place) > 1
    in_history = alice.page(room, "b", from_=live, limit=1)["end"]
    assert _members(alice, room, at=in_history) == {alice.user_id: "join"}
    assert alice.http.get(room_path(room, "members"), {"at": "odd"}).errcode == "M_INVALID_PARAM"


def test_before_a_room_had_members_its_first_one_is_listed(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    assert _members(alice, room, at="s0") == {alice.user_id: "join"}


def test_joined_members_are_listed_with_names(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    bob.http.put(f"{V3}/profile/{bob.user_id}/displayname", {"displayname": "Bob"})
    bob.http.put(f"{V3}/profile/{bob.user_id}/avatar_url", {"avatar_url": "mxc://test/bob"})
    room = alice.public_room()
    bob.join(room)
    alice.invite(room, carol)
    joined: Any = alice.http.get(room_path(room, "joined_members")).json["joined"]
    assert joined == {
        alice.user_id: {"display_name": "alice"},
        bob.user_id: {"display_name": "Bob", "avatar_url": "mxc://test/bob"},
    }
    assert carol.http.get(room_path(room, "joined_members")).errcode == "M_FORBIDDEN"
    bob.act("leave", room)
    assert bob.http.get(room_path(room, "joined_members")).errcode == "M_FORBIDDEN"


def test_joined_rooms_are_those_the_user_is_in(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    first, second, third = alice.public_room(), alice.public_room(), alice.create(invite=[bob.user_id])
    bob.join(first)
    bob.join(second)
    bob.act("leave", second)
    assert bob.http.get(f"{V3}/joined_rooms").json == {"joined_rooms": [first]}
    assert set(alice.http.get(f"{V3}/joined_rooms").json["joined_rooms"]) == {first, second, third}


def test_strangers_see_no_members(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    assert bob.http.get(room_path(alice.public_room(), "members")).errcode == "M_FORBIDDEN"
