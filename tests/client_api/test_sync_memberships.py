"""How `/sync` tells of rooms that its user enters, leaves, or is invited to."""

import pytest

from storage.database import Database
from tests.client_api.e2ee import NOTHING_NEW
from tests.client_api.sync_site import SyncSite, state_of, texts

LEAVE = {"room": {"include_leave": True}}


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def test_invite_shows_what_the_room_is(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.create(preset="private_chat", name="Kitchen")
    bert.first_sync()
    anna.invite(room, bert)
    for answer in (bert.sync(), bert.first_sync()):
        events = answer["rooms"]["invite"][room]["invite_state"]["events"]
        found = {(event["type"], event["state_key"]): event for event in events}
        assert found["m.room.name", ""]["content"]["name"] == "Kitchen"
        assert found["m.room.member", bert.user_id]["content"]["membership"] == "invite"
        assert found["m.room.member", bert.user_id]["sender"] == anna.user_id
        assert ("m.room.member", anna.user_id) in found
        assert ("m.room.create", "") in found
    assert bert.sync().keys() == NOTHING_NEW


def test_joining_tells_the_whole_room(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room(name="Kitchen")
    for number in range(20):
        anna.say(room, str(number))
    bert.first_sync()
    bert.join(room)
    shown = bert.joined(room, filter={"room": {"timeline": {"limit": 5}}})
    assert texts(shown) == ["16", "17", "18", "19"]
    assert shown["timeline"]["limited"] is True
    assert {("m.room.name", ""), ("m.room.member", anna.user_id)} <= state_of(shown).keys()


def test_the_timeline_of_a_room_that_was_joined_begins_anew_however_short_it_is(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.first_sync()
    bert.join(room)
    shown = bert.joined(room, filter={"room": {"timeline": {"limit": 50}}})
    assert shown["timeline"]["events"][0]["type"] == "m.room.create"
    assert shown["timeline"]["limited"] is True


def test_leaving_tells_the_room_up_to_the_leave(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    bert.first_sync()
    anna.say(room, "before")
    bert.act("leave", room)
    anna.say(room, "after")
    left = bert.sync()["rooms"]["leave"][room]
    assert texts(left) == ["before"]
    assert left["timeline"]["events"][-1]["content"]["membership"] == "leave"
    assert left["state"]["events"] == []
    assert bert.sync().keys() == NOTHING_NEW


def test_first_sync_tells_left_rooms_only_if_asked(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room(topic="before")
    bert.join(room)
    bert.act("leave", room)
    anna.set_state(room, "m.room.topic", {"topic": "after"})
    assert "rooms" not in bert.first_sync()
    left = bert.first_sync(filter={"room": {"include_leave": True, "timeline": {"limit": 2}}})["rooms"][
        "leave"
    ][room]
    assert state_of(left)["m.room.topic", ""]["content"]["topic"] == "before"
    assert [e["content"].get("membership") for e in left["timeline"]["events"]] == ["join", "leave"]
    bert.act("forget", room)
    assert "rooms" not in bert.first_sync(filter=LEAVE)


def test_own_leave_is_shown_whatever_the_history_visibility(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    anna.set_state(room, "m.room.history_visibility", {"history_visibility": "joined"})
    bert.first_sync()
    anna.invite(room, bert)
    bert.sync()
    bert.act("leave", room)
    events = bert.sync()["rooms"]["leave"][room]["timeline"]["events"]
    assert [event["content"]["membership"] for event in events] == ["leave"]


def test_who_rejected_an_invite_is_told_nothing_more_of_the_room(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.create(preset="private_chat", topic="secret")
    anna.say(room, "secret")
    anna.invite(room, bert)
    bert.act("leave", room)
    left = bert.first_sync(filter=LEAVE)["rooms"]["leave"][room]
    assert left["state"]["events"] == []
    assert [event["state_key"] for event in left["timeline"]["events"]] == [bert.user_id]


def test_banned_user_sees_nothing_from_after_the_ban(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    bert.first_sync()
    anna.act("ban", room, user_id=bert.user_id)
    anna.say(room, "after")
    left = bert.sync()["rooms"]["leave"][room]
    assert [event["content"]["membership"] for event in left["timeline"]["events"]] == ["ban"]
    anna.act("unban", room, user_id=bert.user_id)
    anna.say(room, "later")
    assert texts(bert.sync()["rooms"]["leave"][room]) == []
    assert texts(bert.first_sync(filter=LEAVE)["rooms"]["leave"][room]) == []


def test_kicked_and_back_in_one_sync(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    bert.first_sync()
    anna.act("kick", room, user_id=bert.user_id)
    anna.set_state(room, "m.room.topic", {"topic": "missed"})
    bert.join(room)
    answer = bert.sync(filter={"room": {"timeline": {"limit": 1}}})
    assert state_of(answer["rooms"]["join"][room])["m.room.topic", ""]["content"]["topic"] == "missed"
    assert "leave" not in answer["rooms"]


def test_joined_and_gone_in_one_sync(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.first_sync()
    bert.join(room)
    anna.say(room, "hi")
    bert.act("leave", room)
    anna.say(room, "gone")
    assert texts(bert.sync()["rooms"]["leave"][room]) == ["hi"]


def test_history_visibility_holds_in_timelines(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    anna.set_state(room, "m.room.history_visibility", {"history_visibility": "joined"})
    anna.say(room, "before")
    bert.join(room)
    anna.say(room, "now")
    assert texts(bert.first_sync()["rooms"]["join"][room]) == ["now"]


def test_knock_is_shown_until_it_is_answered(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.create(preset="private_chat", name="Club")
    anna.set_state(room, "m.room.join_rules", {"join_rule": "knock"})
    bert.first_sync()
    assert bert.here.post(f"/_matrix/client/v3/knock/{room}", {}).status == 200
    events = bert.sync()["rooms"]["knock"][room]["knock_state"]["events"]
    assert {"m.room.name", "m.room.member"} <= {event["type"] for event in events}
    anna.invite(room, bert)
    assert room in bert.sync()["rooms"]["invite"]


def test_account_data_of_a_room_comes_with_the_join(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.put_account_data("m.tag", {"tags": {}}, room)
    bert.first_sync()
    bert.join(room)
    assert bert.joined(room)["account_data"]["events"] == [{"type": "m.tag", "content": {"tags": {}}}]
