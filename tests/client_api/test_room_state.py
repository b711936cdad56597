"""Reading events and state."""

from tests.client_api.rooms_site import RoomsSite, room_path


def test_an_entry_of_the_state_is_read_as_content_or_as_event(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    event_id = alice.set_state(room, "org.test", {"n": 1}, "a key/with a slash")
    assert alice.state(room, "org.test", "a key/with a slash") == {"n": 1}
    event = alice.try_state(room, "org.test", "a key/with a slash", format="event").json
    assert (event["event_id"], event["content"], event["room_id"]) == (event_id, {"n": 1}, room)
    assert alice.try_state(room, "org.test").errcode == "M_NOT_FOUND"
    assert alice.try_state(room, "org.test", format="odd").errcode == "M_INVALID_PARAM"


def test_an_empty_state_key_may_be_left_out_with_or_without_its_slash(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create(name="Named")
    assert alice.http.get(room_path(room, "state", "m.room.name")).json == {"name": "Named"}
    assert alice.http.get(room_path(room, "state", "m.room.name") + "/").json == {"name": "Named"}
    path = room_path(room, "state", "m.room.topic")
    assert alice.http.put(path, {"topic": "one"}).status == 200
    assert alice.http.put(f"{path}/", {"topic": "two"}).status == 200
    assert alice.state(room, "m.room.topic") == {"topic": "two"}


def test_strangers_read_no_state(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    assert bob.http.get(room_path(room, "state")).errcode == "M_FORBIDDEN"
    assert bob.try_state(room, "m.room.name").errcode == "M_FORBIDDEN"
    assert bob.http.get(room_path("!unknown:test", "state")).errcode == "M_FORBIDDEN"
    alice.invite(room, bob)
    assert bob.try_state(room, "m.room.create").errcode == "M_FORBIDDEN"


def test_who_left_reads_the_state_as_it_was_then(rooms: RoomsSite) -> None:
    alice, bob, carol = rooms.people("alice", "bob", "carol")
    room = alice.public_room(name="Before")
    bob.join(room)
    bob.act("leave", room)
    alice.set_state(room, "m.room.name", {"name": "After"})
    carol.join(room)
    assert bob.state(room, "m.room.name") == {"name": "Before"}
    assert bob.membership(room, bob) == "leave"
    assert ("m.room.member", carol.user_id) not in bob.whole_state(room)
    members = bob.http.get(room_path(room, "members")).json["chunk"]
    assert {event["state_key"] for event in members} == {alice.user_id, bob.user_id}


def test_who_is_banned_reads_nothing(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room(name="Before")
    bob.join(room)
    alice.act("kick", room, user_id=bob.user_id)
    assert bob.state(room, "m.room.name") == {"name": "Before"}
    alice.act("ban", room, user_id=bob.user_id)
    assert bob.try_state(room, "m.room.name").errcode == "M_FORBIDDEN"
    assert bob.try_page(room).errcode == "M_FORBIDDEN"


def test_anybody_reads_a_world_readable_room_as_it_is_now(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room(
        name="Open",
        initial_state=[
            {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
        ],
    )
    event_id = alice.say(room, "hello")
    assert bob.state(room, "m.room.name") == {"name": "Open"}
    assert bob.event(room, event_id)["unsigned"]["membership"] == "leave"
    assert bob.texts(room) == ["hello"]


def test_an_event_is_found_in_its_own_room_alone(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room, other = alice.create(), alice.create()
    event_id = alice.say(room, "hello")
    assert alice.event(room, event_id)["content"]["body"] == "hello"
    assert alice.try_event(other, event_id).errcode == "M_NOT_FOUND"
    assert alice.try_event(room, "$unknown").errcode == "M_NOT_FOUND"
    assert bob.try_event(room, event_id).errcode == "M_NOT_FOUND"


def test_a_client_event_has_no_keys_of_federation(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    event = alice.event(room, alice.say(room, "hello"))
    assert set(event) == {"content", "event_id", "origin_server_ts", "room_id", "sender", "type", "unsigned"}


def test_state_of_rooms_with_much_of_it_is_whole(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    for number in range(60):
        alice.set_state(room, "org.test", {"n": number}, str(number % 40))
    state = alice.whole_state(room)
    found = {int(key): event["content"]["n"] for (kind, key), event in state.items() if kind == "org.test"}
    assert found == {number: (number if number >= 20 else number + 40) for number in range(40)}
