"""`/sync`."""

import pytest

from storage.database import Database
from tests.client_api.e2ee import NOTHING_NEW
from tests.client_api.sync_site import SyncSite, state_of, texts


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def test_first_sync_shows_joined_rooms(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room(name="Kitchen")
    anna.say(room, "hello")
    shown = anna.first_sync()["rooms"]["join"][room]
    assert texts(shown) == ["hello"]
    assert {event["type"] for event in shown["timeline"]["events"]} >= {"m.room.name", "m.room.message"}
    assert shown["timeline"]["limited"] is False
    assert shown["summary"]["m.joined_member_count"] == 1
    assert all("room_id" not in event for event in shown["timeline"]["events"])


def test_later_syncs_show_what_is_new(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync()
    bert.say(room, "one")
    assert texts(anna.joined(room)) == ["one"]
    assert anna.sync().keys() == NOTHING_NEW
    bert.say(room, "two")
    bert.say(room, "three")
    assert texts(anna.joined(room)) == ["two", "three"]


def test_long_poll_is_answered_when_something_happens(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync(set_presence="offline")
    poll = anna.poll(set_presence="offline")
    site.turn()
    assert not poll.done
    bert.say(room, "ping")
    site.turn()
    assert texts(poll.reply.json["rooms"]["join"][room]) == ["ping"]


def test_long_poll_ends_with_its_timeout(site: SyncSite) -> None:
    anna = site.person("anna")
    anna.first_sync(set_presence="offline")
    poll = anna.poll(2_000, set_presence="offline")
    site.turn(1.5)
    assert not poll.done
    site.turn(0.7)
    assert poll.reply.json.keys() == NOTHING_NEW


def test_limited_timeline_comes_with_the_state_of_the_gap(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync()
    bert.set_state(room, "m.room.member", {"membership": "join", "displayname": "Bertie"}, bert.user_id)
    anna.set_state(room, "m.room.topic", {"topic": "food"})
    for number in range(12):
        bert.say(room, str(number))
    shown = anna.joined(room, filter={"room": {"timeline": {"limit": 3}}})
    assert shown["timeline"]["limited"] is True
    assert texts(shown) == ["9", "10", "11"]
    assert state_of(shown).keys() == {("m.room.member", bert.user_id), ("m.room.topic", "")}
    page = anna.page(room, from_=shown["timeline"]["prev_batch"], limit=2)
    assert [event["content"]["body"] for event in page["chunk"]] == ["8", "7"]
