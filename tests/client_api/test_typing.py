"""Typing notices."""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.rooms_site import room_path
from tests.client_api.sync_site import Syncer, SyncSite, is_empty
from tests.harness.client import Reply


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def put_typing(person: Syncer, room: str, typing: bool = True, **body: Any) -> Reply:
    return person.here.put(room_path(room, "typing", person.user_id), {"typing": typing, **body})


def typing_in(room: dict[str, Any]) -> list[list[str]]:
    events = room.get("ephemeral", {"events": []})["events"]
    return [event["content"]["user_ids"] for event in events if event["type"] == "m.typing"]


def test_typing_is_shown_until_it_ends(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync()
    assert put_typing(bert, room, timeout=30_000).status == 200
    assert typing_in(anna.joined(room)) == [[bert.user_id]]
    assert typing_in(anna.joined(room)) == []
    put_typing(bert, room, False)
    assert typing_in(anna.joined(room)) == [[]]


def test_typing_wakes_polls_and_ends_by_itself(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync(set_presence="offline")
    poll = anna.poll(set_presence="offline")
    put_typing(bert, room, timeout=5_000)
    site.turn()
    anna.since = poll.reply.json["next_batch"]
    assert typing_in(poll.reply.json["rooms"]["join"][room]) == [[bert.user_id]]
    poll = anna.poll(set_presence="offline")
    site.turn(4)
    assert not poll.done
    site.turn(2)
    assert typing_in(poll.reply.json["rooms"]["join"][room]) == [[]]


def test_typing_is_in_a_first_sync_and_in_one_after_a_restart(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    put_typing(bert, room)
    assert typing_in(anna.first_sync()["rooms"]["join"][room]) == [[bert.user_id]]
    site.start()
    put_typing(bert, room)
    assert typing_in(anna.joined(room)) == [[bert.user_id]]


def test_who_leaves_is_not_typing(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync()
    put_typing(bert, room)
    anna.sync()
    bert.act("leave", room)
    assert typing_in(anna.joined(room)) == [[]]


def test_only_members_type_and_only_themselves(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    assert put_typing(bert, room).status == 403
    assert anna.here.put(room_path(room, "typing", bert.user_id), {"typing": True}).status == 403


def test_typing_of_ignored_users_is_not_shown(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.put_account_data("m.ignored_user_list", {"ignored_users": {bert.user_id: {}}})
    anna.first_sync()
    put_typing(bert, room)
    assert typing_in(anna.joined(room)) == [[]]


def test_end_of_typing_is_told_to_who_only_made_a_first_sync(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync()
    put_typing(bert, room)
    put_typing(bert, room, False)
    assert typing_in(anna.joined(room)) == [[]]
    assert typing_in(anna.first_sync()["rooms"]["join"][room]) == [[]]


def test_who_was_told_of_typing_before_a_restart_learns_that_it_ended(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    rooms = [anna.public_room(), anna.public_room()]
    for room in rooms:
        bert.join(room)
    anna.first_sync()
    put_typing(bert, rooms[0])
    assert typing_in(anna.joined(rooms[0])) == [[bert.user_id]]
    site.start()
    told = anna.sync()["rooms"]["join"]
    assert {room: typing_in(told[room]) for room in rooms} == {room: [[]] for room in rooms}
    site.start()
    assert is_empty(anna.sync())


def test_end_of_typing_is_not_forgotten_however_many_rooms_there_are(
    site: SyncSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeserver.services.typing.MAX_ROOMS", 2)
    anna, bert = site.people("anna", "bert")
    rooms = [anna.public_room() for _ in range(4)]
    for room in rooms:
        bert.join(room)
    anna.first_sync()
    for room in rooms:
        put_typing(bert, room)
    anna.sync()
    for room in rooms:
        put_typing(bert, room, False)
    told = anna.sync()["rooms"]["join"]
    assert {room: typing_in(told[room]) for room in rooms} == {room: [[]] for room in rooms}
