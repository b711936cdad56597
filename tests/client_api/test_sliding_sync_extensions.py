"""What sliding sync tells beside rooms, and what is unread of them."""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.e2ee import Device
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sliding_client import Slider, rooms_list
from tests.client_api.sync_site import Syncer, SyncSite


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def send(sender: Syncer, receiver: Syncer, text: str) -> None:
    body = {"messages": {receiver.user_id: {"*": {"text": text}}}}
    path = f"{V3}/sendToDevice/test/{sender.sync_site.next_transaction()}"
    assert sender.here.put(path, body).status == 200


def told(slider: Slider, name: str, **wishes: Any) -> Any:
    """What one extension tells; None if nothing."""
    answer = slider.sync(extensions={name: {"enabled": True, **wishes}})
    return answer["extensions"].get(name)


def typing(person: Syncer, room: str) -> None:
    body = {"typing": True, "timeout": 20_000}
    assert person.here.put(room_path(room, "typing", person.user_id), body).status == 200


def test_messages_stay_until_they_are_acknowledged(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    slider = Slider(anna)
    send(bert, anna, "one")
    send(bert, anna, "two")
    first = told(slider, "to_device", limit=1)
    assert [event["content"]["text"] for event in first["events"]] == ["one"]
    again = told(Slider(anna, "b"), "to_device")
    assert [event["content"]["text"] for event in again["events"]] == ["one", "two"]
    second = told(slider, "to_device", since=first["next_batch"])
    assert [event["content"]["text"] for event in second["events"]] == ["two"]
    assert told(slider, "to_device", since=second["next_batch"])["events"] == []
    assert told(Slider(anna, "c"), "to_device")["events"] == []


def test_what_follows_in_another_olm_session_comes_in_the_next_answer(site: SyncSite) -> None:
    anna, bert = (Device.register(site, name) for name in ("anna", "bert"))
    slider = Slider(anna)
    bert.send_encrypted(anna, 0, "key")
    bert.send_encrypted(anna, 1, "key again")
    first = told(slider, "to_device")
    assert [event["content"]["text"] for event in first["events"]] == ["key"]
    poll = slider.poll(extensions={"to_device": {"enabled": True, "since": first["next_batch"]}})
    site.turn()
    events = poll.reply.json["extensions"]["to_device"]["events"]
    assert [event["content"]["text"] for event in events] == ["key again"]


def test_long_poll_is_answered_by_a_message_to_the_device(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    slider = Slider(anna)
    batch = told(slider, "to_device")["next_batch"]
    poll = slider.poll(extensions={"to_device": {"enabled": True, "since": batch}})
    site.turn()
    assert not poll.done
    send(bert, anna, "hi")
    site.turn()
    events = poll.reply.json["extensions"]["to_device"]["events"]
    assert [event["content"]["text"] for event in events] == ["hi"]


def test_keys_are_counted_and_changed_devices_named(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    slider = Slider(anna)
    first = told(slider, "e2ee")
    assert first["device_one_time_keys_count"] == {"signed_curve25519": 0}
    assert first["device_unused_fallback_key_types"] == []
    bert.join(room)
    assert bert.user_id in told(slider, "e2ee")["device_lists"]["changed"]


def test_account_data_of_the_account_and_of_rooms(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room()
    anna.put_account_data("a", {"x": 1})
    anna.put_account_data("b", {"x": 2}, room)
    slider = Slider(anna)
    first = told(slider, "account_data")
    assert {event["type"] for event in first["global"]} == {"a", "m.push_rules"}
    assert first["rooms"] == {room: [{"type": "b", "content": {"x": 2}}]}
    assert told(slider, "account_data") is None
    anna.put_account_data("b", {"x": 3}, room)
    assert told(slider, "account_data", rooms=[]) is None
    anna.put_account_data("b", {"x": 4}, room)
    assert told(slider, "account_data")["rooms"] == {room: [{"type": "b", "content": {"x": 4}}]}


def test_receipts_and_typing_of_the_rooms_that_are_named(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    rooms = [anna.public_room(), anna.public_room()]
    slider = Slider(anna)
    for room in rooms:
        bert.join(room)
    slider.sync()
    for room in rooms:
        bert.receipt(room, anna.say(room, "x"))
        typing(bert, room)
    shown = slider.sync(
        extensions={
            "receipts": {"enabled": True, "rooms": [rooms[0]], "lists": []},
            "typing": {"enabled": True, "lists": ["all"]},
        }
    )["extensions"]
    assert shown["receipts"]["rooms"].keys() == {rooms[0]}
    content = next(iter(shown["receipts"]["rooms"][rooms[0]]["content"].values()))
    assert content["m.read"].keys() == {bert.user_id}
    assert shown["typing"]["rooms"].keys() == set(rooms)
    assert shown["typing"]["rooms"][rooms[0]]["content"] == {"user_ids": [bert.user_id]}


def test_room_that_is_new_to_the_client_comes_with_its_receipts(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    event_id = anna.say(room, "x")
    bert.receipt(room, event_id)
    anna.receipt(room, event_id, "m.read.private")
    shown = told(Slider(anna), "receipts")["rooms"][room]["content"][event_id]
    assert shown["m.read"].keys() == {bert.user_id}
    assert shown["m.read.private"].keys() == {anna.user_id}
    assert told(Slider(bert), "receipts")["rooms"][room]["content"][event_id].keys() == {"m.read"}


@pytest.mark.parametrize("restarted", [False, True])
def test_unread_messages_are_counted_until_they_are_read(site: SyncSite, restarted: bool) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    slider = Slider(anna)
    assert slider.sync()["rooms"][room]["notification_count"] == 0
    bert.say(room, "one")
    event_id = bert.say(room, "two")
    assert slider.sync()["rooms"][room]["notification_count"] == 2
    anna.receipt(room, event_id, "m.read.private")
    if restarted:
        site.start()
        for person in (anna, bert):
            person.reconnect()
    assert slider.sync()["rooms"][room]["notification_count"] == 0
    assert slider.sync()["rooms"] == {}


def test_room_that_was_read_out_of_sight_comes_back_with_its_counts(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room, other = anna.public_room(), anna.public_room()
    for each in (room, other):
        bert.join(each)
    slider = Slider(anna)
    event_id = bert.say(room, "one")
    assert slider.sync()["rooms"][room]["notification_count"] == 1
    bert.say(other, "last")
    slider.sync()
    one = {"all": rooms_list(0, 0)}
    slider.sync(lists=one)
    anna.receipt(room, event_id)
    assert room not in slider.sync(lists=one)["rooms"]
    assert slider.sync(lists={"all": rooms_list()})["rooms"][room]["notification_count"] == 0
