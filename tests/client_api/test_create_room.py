"""POST /createRoom."""

import pytest

from tests.client_api.rooms_site import V3, RoomsSite


def test_a_private_room_has_the_state_of_its_preset_in_the_order_of_the_specification(
    rooms: RoomsSite,
) -> None:
    alice = rooms.person("alice")
    room = alice.create(name="Plans", topic="Secret ones")

    kinds = [event["type"] for event in alice.page(room, "f", limit=50)["chunk"]]
    assert kinds == [
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.guest_access",
        "m.room.name",
        "m.room.topic",
    ]
    assert alice.state(room, "m.room.join_rules") == {"join_rule": "invite"}
    assert alice.state(room, "m.room.guest_access") == {"guest_access": "can_join"}
    assert alice.state(room, "m.room.name") == {"name": "Plans"}
    topic = alice.state(room, "m.room.topic")
    assert topic["topic"] == "Secret ones"
    assert topic["m.topic"]["m.text"][0]["body"] == "Secret ones"


def test_public_visibility_implies_the_public_preset_and_a_place_in_the_directory(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create(visibility="public")

    assert alice.state(room, "m.room.join_rules") == {"join_rule": "public"}
    listed = alice.http.get(f"{V3}/publicRooms").json["chunk"]
    assert [entry["room_id"] for entry in listed] == [room]


def test_a_room_of_the_default_version_has_the_id_of_its_create_event_and_no_creator_among_its_levels(
    rooms: RoomsSite,
) -> None:
    alice = rooms.person("alice")
    room = alice.create()

    create = alice.whole_state(room)["m.room.create", ""]
    assert create["content"]["room_version"] == "12"
    assert room == "!" + create["event_id"][1:]
    levels = alice.state(room, "m.room.power_levels")
    assert levels["users"] == {}
    assert levels["events"]["m.room.tombstone"] == 150


def test_a_room_of_version_10_lists_its_creator_with_power(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create(room_version="10")

    assert room.endswith(":test")
    assert alice.state(room, "m.room.power_levels")["users"] == {alice.user_id: 100}
    assert alice.state(room, "m.room.create") == {"creator": alice.user_id, "room_version": "10"}


@pytest.mark.parametrize("version", [str(number) for number in range(1, 13)])
def test_every_room_version_can_be_made_and_talked_in(rooms: RoomsSite, version: str) -> None:
    alice = rooms.person("alice")
    room = alice.create(room_version=version)
    alice.say(room, "hello")
    assert alice.texts(room) == ["hello"]


def test_an_unknown_room_version_is_refused(rooms: RoomsSite) -> None:
    reply = rooms.person("alice").http.post(f"{V3}/createRoom", {"room_version": "99"})
    assert (reply.status, reply.errcode) == (400, "M_UNSUPPORTED_ROOM_VERSION")


def test_the_default_version_is_configured(rooms: RoomsSite) -> None:
    site = RoomsSite(rooms.database, {"default_room_version": "11"})
    alice = site.person("alice")
    assert alice.state(alice.create(), "m.room.create")["room_version"] == "11"


def test_invited_users_of_a_trusted_chat_are_creators_of_it(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.create(preset="trusted_private_chat", invite=[bob.user_id])

    assert alice.state(room, "m.room.create")["additional_creators"] == [bob.user_id]
    bob.join(room)
    bob.set_state(room, "m.room.tombstone", {"body": "moved", "replacement_room": "!elsewhere"})


def test_invited_users_of_a_trusted_chat_of_an_older_version_have_the_power_of_its_creator(
    rooms: RoomsSite,
) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.create(preset="trusted_private_chat", invite=[bob.user_id], room_version="9")
    users = alice.state(room, "m.room.power_levels")["users"]
    assert users == {alice.user_id: 100, bob.user_id: 100}


def test_invited_users_can_join_and_know_that_the_chat_is_direct(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.create(invite=[bob.user_id], is_direct=True)

    invite = alice.state(room, "m.room.member", bob.user_id)
    assert invite["membership"] == "invite"
    assert invite["is_direct"] is True
    bob.join(room)
    assert bob.membership(room, bob) == "join"


def test_initial_state_takes_the_place_of_the_preset_but_not_of_the_name(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create(
        name="Named",
        initial_state=[
            {"type": "m.room.join_rules", "content": {"join_rule": "knock"}},
            {"type": "m.room.name", "content": {"name": "Overridden"}},
            {"type": "org.test", "state_key": "key", "content": {"one": 1}},
        ],
    )
    assert alice.state(room, "m.room.join_rules") == {"join_rule": "knock"}
    assert alice.state(room, "m.room.name") == {"name": "Named"}
    assert alice.state(room, "org.test", "key") == {"one": 1}
    kinds = [event["type"] for event in alice.page(room, "f", limit=50)["chunk"]]
    assert kinds.count("m.room.join_rules") == 1
    assert kinds.count("m.room.name") == 1


def test_power_levels_are_overridden_key_by_key(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create(power_level_content_override={"invite": 75, "events": {"m.room.name": 1}})
    levels = alice.state(room, "m.room.power_levels")
    assert (levels["invite"], levels["events"], levels["ban"]) == (75, {"m.room.name": 1}, 50)


def test_creation_content_is_kept_but_for_what_the_server_says(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create(
        creation_content={"m.federate": False, "type": "m.space", "room_version": "1", "creator": "@eve:test"}
    )
    create = alice.state(room, "m.room.create")
    assert create == {"m.federate": False, "type": "m.space", "room_version": "12"}


def test_levels_that_leave_the_creator_powerless_are_refused(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    body = {
        "room_version": "10",
        "name": "Nobody may name me",
        "power_level_content_override": {"users": {alice.user_id: 0}},
    }
    reply = alice.http.post(f"{V3}/createRoom", body)
    assert (reply.status, reply.errcode) == (400, "M_INVALID_ROOM_STATE")
    assert alice.http.get(f"{V3}/joined_rooms").json == {"joined_rooms": []}


def test_an_alias_is_made_with_the_room_and_is_its_canonical_one(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create(room_alias_name="plans")
    assert alice.state(room, "m.room.canonical_alias") == {"alias": "#plans:test"}
    assert alice.http.get(f"{V3}/directory/room/%23plans:test").json == {"room_id": room, "servers": ["test"]}


def test_a_taken_alias_is_refused(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    alice.create(room_alias_name="plans")
    reply = alice.http.post(f"{V3}/createRoom", {"room_alias_name": "plans"})
    assert (reply.status, reply.errcode) == (400, "M_ROOM_IN_USE")


def test_two_equal_rooms_of_one_moment_are_two_rooms(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    assert alice.create() != alice.create()


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"visibility": "secret"}, "M_BAD_JSON"),
        ({"invite": ["nobody"]}, "M_INVALID_PARAM"),
        ({"name": 5}, "M_BAD_JSON"),
        ({"initial_state": [{"type": "x"}]}, "M_MISSING_PARAM"),
        ({"creation_content": {"float": 1.5}}, "M_BAD_JSON"),
        ({"initial_state": [{"type": "x", "state_key": "\0", "content": {}}]}, "M_BAD_JSON"),
        ({"room_alias_name": "a:b"}, "M_INVALID_PARAM"),
        ({"invite_3pid": [{"medium": "email"}]}, "M_MISSING_PARAM"),
    ],
)
def test_malformed_wishes_are_refused(rooms: RoomsSite, body: dict[str, object], errcode: str) -> None:
    reply = rooms.person("alice").http.post(f"{V3}/createRoom", body)
    assert reply.errcode == errcode
    assert reply.status in (400, 403)


def test_a_name_may_have_any_characters(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    name = '\0 \u2028 \U0001f600 " \\'
    assert alice.state(alice.create(name=name), "m.room.name") == {"name": name}


def test_who_takes_no_invites_is_not_invited(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    path = f"{V3}/user/{bob.user_id}/account_data/m.invite_permission_config"
    assert bob.http.put(path, {"default_action": "block"}).status == 200
    reply = alice.http.post(f"{V3}/createRoom", {"invite": [bob.user_id]})
    assert (reply.status, reply.errcode) == (403, "M_INVITE_BLOCKED")
