"""Sending events and setting state."""

from typing import Any

import pytest

from tests.client_api.rooms_site import V3, RoomsSite, room_path


def test_a_message_is_sent_once_a_transaction(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    first = alice.try_say(room, "hello", txn="one").json["event_id"]
    assert alice.try_say(room, "hello", txn="one").json["event_id"] == first
    assert alice.try_say(room, "hello", txn="two").json["event_id"] != first
    assert alice.texts(room) == ["hello", "hello"]


def test_a_transaction_is_remembered_over_a_restart(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    first = alice.try_say(room, "hello", txn="one").json["event_id"]

    again = RoomsSite(rooms.database)
    http = again.http.with_token(alice.http.token)
    body = {"msgtype": "m.text", "body": "hello"}
    reply = http.put(room_path(room, "send", "m.room.message", "one"), body)
    assert reply.json == {"event_id": first}
    assert alice.texts(room) == ["hello"]


def test_a_transaction_is_one_of_its_device_room_and_type(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room, other = alice.public_room(), alice.create()
    bob.join(room)
    body = {"msgtype": "m.text", "body": "hello"}
    replies = [
        alice.http.put(room_path(room, "send", "m.room.message", "one"), body),
        alice.http.put(room_path(room, "send", "org.test", "one"), body),
        alice.http.put(room_path(other, "send", "m.room.message", "one"), body),
        bob.http.put(room_path(room, "send", "m.room.message", "one"), body),
    ]
    assert len({reply.json["event_id"] for reply in replies}) == 4


def test_a_failed_transaction_may_be_tried_again(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    assert bob.try_say(room, "hello", txn="one").errcode == "M_FORBIDDEN"
    bob.join(room)
    assert bob.try_say(room, "hello", txn="one").status == 200


def test_only_the_device_that_sent_an_event_sees_its_transaction(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    event_id = alice.try_say(room, "hello", txn='so "called"').json["event_id"]
    assert alice.event(room, event_id)["unsigned"]["transaction_id"] == 'so "called"'
    assert "transaction_id" not in bob.event(room, event_id)["unsigned"]


def test_nobody_sends_into_a_room_that_they_are_not_in(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    assert bob.try_say(room, "hello").errcode == "M_FORBIDDEN"
    assert bob.try_say("!unknown:test", "hello").errcode == "M_FORBIDDEN"
    assert bob.try_set_state(room, "m.room.name", {"name": "x"}).errcode == "M_FORBIDDEN"
    bob.join(room)
    bob.act("leave", room)
    assert bob.try_say(room, "hello").errcode == "M_FORBIDDEN"


@pytest.mark.parametrize("content", [{"n": 1.5}, {"n": 2**60}, {"deep": [1.0]}])
def test_content_that_is_no_canonical_json_is_refused(rooms: RoomsSite, content: dict[str, Any]) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    sent = alice.http.put(room_path(room, "send", "org.test", "one"), content)
    assert (sent.status, sent.errcode) == (400, "M_BAD_JSON")
    assert alice.try_set_state(room, "org.test", content).errcode == "M_BAD_JSON"


def test_an_event_that_is_too_large_is_refused(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    reply = alice.try_say(room, "x" * 70_000)
    assert (reply.status, reply.errcode) == (413, "M_TOO_LARGE")
    assert alice.try_set_state(room, "x" * 300, {}).errcode == "M_TOO_LARGE"
    alice.say(room, "x" * 60_000)


def test_state_that_is_so_already_is_not_set_again(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.create(preset="trusted_private_chat", invite=[bob.user_id])
    bob.join(room)
    first = alice.set_state(room, "m.room.name", {"name": "One"})
    assert alice.set_state(room, "m.room.name", {"name": "One"}) == first
    assert bob.set_state(room, "m.room.name", {"name": "One"}) != first
    assert alice.set_state(room, "org.test", {"a": 1}) != alice.set_state(room, "org.test", {"a": True})


def test_state_takes_power(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    assert bob.try_set_state(room, "m.room.name", {"name": "Mine"}).errcode == "M_FORBIDDEN"
    levels = alice.state(room, "m.room.power_levels")
    levels["users"][bob.user_id] = 50
    alice.set_state(room, "m.room.power_levels", levels)
    bob.set_state(room, "m.room.name", {"name": "Mine"})
    levels["users"][bob.user_id] = 100
    assert bob.try_set_state(room, "m.room.power_levels", levels).errcode == "M_FORBIDDEN"


@pytest.mark.parametrize(
    ("version", "event_type", "content"),
    [
        ("12", "m.room.power_levels", {"users": {"@alice:test": 100}}),
        ("12", "m.room.power_levels", {"users": {"alice": 100}}),
        ("12", "m.room.power_levels", {"users": []}),
        ("10", "m.room.power_levels", {"ban": "50"}),
        ("11", "m.room.create", {"room_version": "11", "more": 1}),
        ("12", "m.room.create", {"room_version": "12", "more": 1}),
    ],
)
def test_state_that_nobody_may_set_is_a_mistake(
    rooms: RoomsSite, version: str, event_type: str, content: dict[str, Any]
) -> None:
    alice = rooms.person("alice")
    reply = alice.try_set_state(alice.create(room_version=version), event_type, content)
    assert (reply.status, reply.errcode) == (400, "M_BAD_JSON")


def test_state_keys_of_users_belong_to_them(rooms: RoomsSite) -> None:
    alice, bob = rooms.people("alice", "bob")
    room = alice.public_room(power_level_content_override={"state_default": 0})
    bob.join(room)
    bob.set_state(room, "org.test", {}, bob.user_id)
    assert bob.try_set_state(room, "org.test", {}, alice.user_id).errcode == "M_FORBIDDEN"


def test_an_event_shows_what_it_replaced(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    first = alice.set_state(room, "m.room.name", {"name": "One"})
    second = alice.set_state(room, "m.room.name", {"name": "Two"})
    unsigned = alice.event(room, second)["unsigned"]
    assert unsigned["prev_content"] == {"name": "One"}
    assert unsigned["prev_sender"] == alice.user_id
    assert unsigned["replaces_state"] == first
    assert "prev_content" not in alice.event(room, first)["unsigned"]


def test_an_event_shows_its_age_and_the_membership_of_its_reader(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    event_id = alice.say(room, "hello")
    rooms.clock.advance(5)
    assert alice.event(room, event_id)["unsigned"]["age"] == 5000
    assert alice.event(room, event_id)["unsigned"]["membership"] == "join"
    create = alice.whole_state(room)["m.room.create", ""]["event_id"]
    assert alice.event(room, create)["unsigned"]["membership"] == "leave"


def test_a_room_can_be_talked_in_by_many_at_once(rooms: RoomsSite) -> None:
    alice, *others = rooms.people("alice", "bob", "carol", "dave")
    room = alice.public_room()
    for person in others:
        person.join(room)
    for number in range(5):
        for person in (alice, *others):
            person.say(room, f"{person.user_id} {number}")
    assert len(set(alice.texts(room, limit=100))) == 20


def test_an_unknown_body_is_refused(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    path = room_path(alice.create(), "send", "m.room.message", "one")
    assert alice.http.put(path, b"no json").errcode == "M_NOT_JSON"
    assert alice.http.put(path, b"[]").errcode == "M_BAD_JSON"
    assert rooms.http.put(path, {}).errcode == "M_MISSING_TOKEN"


def test_only_application_services_date_their_events(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    path = room_path(room, "send", "m.room.message", "one")
    event_id = alice.http.put(path, {"body": "old"}, {"ts": 1}).json["event_id"]
    assert alice.event(room, event_id)["origin_server_ts"] == rooms.clock.now_ms()


def test_a_canonical_alias_must_lead_to_the_room(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room, other = alice.create(), alice.create(room_alias_name="other")
    alice.http.put(f"{V3}/directory/room/%23mine:test", {"room_id": room})
    canonical = "m.room.canonical_alias"
    assert alice.try_set_state(room, canonical, {"alias": "#nowhere:test"}).errcode == "M_BAD_ALIAS"
    assert alice.try_set_state(room, canonical, {"alias": "#other:test"}).errcode == "M_BAD_ALIAS"
    assert alice.try_set_state(room, canonical, {"alt_aliases": ["#other:test"]}).errcode == "M_BAD_ALIAS"
    assert alice.try_set_state(room, canonical, {"alias": "%mine:test"}).errcode == "M_INVALID_PARAM"
    for malformed in (["mine"], "#mine:test", [5]):
        reply = alice.try_set_state(room, canonical, {"alt_aliases": malformed})
        assert reply.errcode == "M_INVALID_PARAM"
    alice.set_state(room, canonical, {"alias": "#mine:test", "alt_aliases": ["#mine:test"]})
    alice.set_state(room, canonical, {})
    assert alice.state(other, canonical) == {"alias": "#other:test"}


def test_an_event_may_be_sent_without_a_transaction(rooms: RoomsSite) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    path = room_path(room, "send", "m.room.message")
    first, second = (alice.http.post(path, {"body": "hello"}).json["event_id"] for _ in range(2))
    assert first != second
    assert "transaction_id" not in alice.event(room, first)["unsigned"]


def test_sending_into_a_room_that_is_known_reads_nothing_from_the_database(
    rooms: RoomsSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = rooms.person("alice")
    room = alice.create()
    alice.say(room, "warm")

    def refuse(_function: object) -> None:
        raise AssertionError("a query")

    monkeypatch.setattr(rooms.database, "read", refuse)
    monkeypatch.setattr(rooms.database, "transact", refuse)
    alice.say(room, "hello")
