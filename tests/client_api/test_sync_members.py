"""Lazily loaded members, and summaries of rooms."""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.sliding_client import Slider
from tests.client_api.sync_site import Syncer, SyncSite, state_of

LAZY: dict[str, Any] = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 5}}}
REDUNDANT: dict[str, Any] = {
    "room": {"state": {"lazy_load_members": True, "include_redundant_members": True}}
}


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def members(room: Any) -> set[str]:
    return {key for kind, key in state_of(room) if kind == "m.room.member"}


def crowd(site: SyncSite, **wishes: Any) -> tuple[str, list[Syncer]]:
    people = site.people("anna", "bert", "cleo", "dora")
    room = people[0].public_room(**wishes)
    for person in people[1:]:
        person.join(room)
    for number in range(6):
        people[1].say(room, str(number))
    return room, people


def test_only_who_says_something_is_told(site: SyncSite) -> None:
    room, (anna, bert, cleo, _dora) = crowd(site, name="Hall")
    assert members(anna.first_sync(filter=LAZY)["rooms"]["join"][room]) == {anna.user_id, bert.user_id}
    cleo.say(room, "hi")
    assert members(anna.joined(room, filter=LAZY)) == {cleo.user_id}
    cleo.say(room, "hi again")
    assert members(anna.joined(room, filter=LAZY)) == set()


def test_members_of_a_lost_answer_are_told_again(site: SyncSite) -> None:
    room, (anna, _bert, cleo, _dora) = crowd(site, name="Hall")
    anna.first_sync(filter=LAZY)
    cleo.say(room, "hi")
    anna.try_sync(anna.since, filter=LAZY)
    assert members(anna.joined(room, filter=LAZY)) == {cleo.user_id}


def test_redundant_members_are_told_if_asked(site: SyncSite) -> None:
    room, (anna, _bert, cleo, _dora) = crowd(site, name="Hall")
    anna.first_sync(filter=REDUNDANT)
    for _ in range(2):
        cleo.say(room, "hi")
        assert members(anna.joined(room, filter=REDUNDANT)) == {cleo.user_id}


def test_gap_tells_all_that_changed_in_it(site: SyncSite) -> None:
    room, (anna, bert, _cleo, dora) = crowd(site, name="Hall")
    anna.first_sync(filter=LAZY)
    dora.act("leave", room)
    for number in range(9):
        bert.say(room, str(number))
    assert members(anna.joined(room, filter=LAZY)) == {dora.user_id}


def test_devices_are_told_each_by_itself(site: SyncSite) -> None:
    room, (anna, bert, _cleo, _dora) = crowd(site, name="Hall")
    anna.first_sync(filter=LAZY)
    other_filter = {"room": {**LAZY["room"], "timeline": {"limit": 6}}}
    assert members(anna.first_sync(filter=other_filter)["rooms"]["join"][room]) == {
        anna.user_id,
        bert.user_id,
    }


def test_nameless_room_is_summed_up_by_heroes(site: SyncSite) -> None:
    room, (anna, bert, cleo, dora) = crowd(site)
    shown = anna.first_sync(filter=LAZY)["rooms"]["join"][room]
    assert shown["summary"] == {
        "m.joined_member_count": 4,
        "m.invited_member_count": 0,
        "m.heroes": [bert.user_id, cleo.user_id, dora.user_id],
    }
    assert members(shown) == {each.user_id for each in (anna, bert, cleo, dora)}
    dora.act("leave", room)
    assert anna.joined(room, filter=LAZY)["summary"]["m.heroes"] == [bert.user_id, cleo.user_id]
    bert.say(room, "x")
    assert anna.joined(room, filter=LAZY)["summary"] == {}


def test_named_room_has_counts_alone(site: SyncSite) -> None:
    room, (anna, *_) = crowd(site, name="Hall")
    summary = anna.first_sync()["rooms"]["join"][room]["summary"]
    assert summary == {"m.joined_member_count": 4, "m.invited_member_count": 0}
    anna.set_state(room, "m.room.name", {"name": ""})
    assert len(anna.joined(room)["summary"]["m.heroes"]) == 3


def test_deserted_room_is_called_by_those_who_left(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    bert.act("leave", room)
    assert anna.first_sync()["rooms"]["join"][room]["summary"]["m.heroes"] == [bert.user_id]


def test_heroes_keep_their_order_whatever_they_call_themselves(site: SyncSite) -> None:
    room, (anna, bert, cleo, dora) = crowd(site)
    first = [bert.user_id, cleo.user_id, dora.user_id]
    assert anna.first_sync()["rooms"]["join"][room]["summary"]["m.heroes"] == first
    bert.set_state(room, "m.room.member", {"membership": "join", "displayname": "Bertha"}, bert.user_id)
    bert.set_state(room, "m.room.member", {"membership": "join", "displayname": "Bert"}, bert.user_id)
    assert anna.first_sync()["rooms"]["join"][room]["summary"]["m.heroes"] == first
    heroes = Slider(anna).sync()["rooms"][room]["heroes"]
    assert [each["user_id"] for each in heroes] == first
    assert heroes[0]["displayname"] == "Bert"
    bert.act("leave", room)
    bert.join(room)
    assert anna.joined(room)["summary"]["m.heroes"] == [cleo.user_id, dora.user_id, bert.user_id]
