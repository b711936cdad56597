"""`/sync`."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from storage.database import Database
from tests.client_api.e2ee import NOTHING_NEW
from tests.client_api.sync_site import SyncSite, state_of, texts
from tests.harness import conformance


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


def test_the_time_of_a_delivery_is_measured_for_polls_that_waited(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync(set_presence="offline")
    anna.sync(set_presence="offline")
    took: list[float] = []
    site.app.sync.notifier.listen(took.append)
    bert.say(room, "before anybody waits")
    anna.sync(set_presence="offline")
    assert took == []
    poll = anna.poll(set_presence="offline")
    site.turn(10.0)
    bert.say(room, "ping")
    site.turn(0.5)
    assert texts(poll.reply.json["rooms"]["join"][room]) == ["ping"]
    assert took == [0.5]


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


def test_what_happens_to_the_user_wakes_their_polls(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.create(preset="private_chat")
    bert.first_sync(set_presence="offline")
    poll = bert.poll(set_presence="offline")
    anna.invite(room, bert)
    site.turn()
    bert.since = poll.reply.json["next_batch"]
    assert room in poll.reply.json["rooms"]["invite"]
    poll = bert.poll(set_presence="offline")
    bert.put_account_data("custom", {"a": 1})
    site.turn()
    assert poll.reply.json["account_data"]["events"] == [{"type": "custom", "content": {"a": 1}}]


def test_rooms_of_others_wake_nobody(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.first_sync(set_presence="offline")
    poll = bert.poll(set_presence="offline")
    anna.say(room, "alone")
    site.turn()
    assert not poll.done


def test_polls_are_answered_when_the_program_ends(site: SyncSite) -> None:
    anna = site.person("anna")
    anna.first_sync(set_presence="offline")
    polls = [anna.poll(set_presence="offline") for _ in range(3)]
    site.app.closing()
    assert all(poll.reply.json.keys() == NOTHING_NEW for poll in polls)
    assert anna.poll(set_presence="offline").done


def test_abandoned_poll_is_forgotten(site: SyncSite) -> None:
    anna = site.person("anna")
    anna.first_sync(set_presence="offline")
    poll = anna.poll(set_presence="offline")
    assert len(site.app.sync.notifier) == 1
    poll.abandon()
    assert len(site.app.sync.notifier) == 0


def test_own_events_come_with_their_transaction(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    for each in (anna, bert):
        each.first_sync()
    anna.try_say(room, "mine", txn="my-txn")
    own = anna.joined(room)["timeline"]["events"][-1]["unsigned"]
    others = bert.joined(room)["timeline"]["events"][-1]["unsigned"]
    assert own["transaction_id"] == "my-txn"
    assert "transaction_id" not in others
    assert own["membership"] == others["membership"] == "join"


def test_state_in_timelines_tells_what_it_replaced(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room(topic="old")
    anna.first_sync()
    anna.set_state(room, "m.room.topic", {"topic": "new"})
    unsigned = anna.joined(room)["timeline"]["events"][-1]["unsigned"]
    assert unsigned["prev_content"]["topic"] == "old"
    assert unsigned["age"] >= 0


def test_state_after_takes_the_place_of_state(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room(topic="old")
    first = anna.first_sync(use_state_after=True)["rooms"]["join"][room]
    assert "state" not in first
    assert ("m.room.topic", "") in state_of(first, "state_after")
    anna.set_state(room, "m.room.topic", {"topic": "new"})
    later = anna.joined(room, **{"org.matrix.msc4222.use_state_after": True})
    assert state_of(later, "org.matrix.msc4222.state_after").keys() == {("m.room.topic", "")}
    anna.say(room, "x")
    assert anna.joined(room, use_state_after=True)["state_after"] == {"events": []}


def test_full_state_is_told_at_once(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room(name="Kitchen")
    anna.first_sync()
    poll = anna.poll(full_state=True)
    shown = poll.reply.json["rooms"]["join"][room]
    assert shown["timeline"]["events"] == []
    assert {("m.room.create", ""), ("m.room.name", "")} <= state_of(shown).keys()


def test_account_data_is_told_with_its_rooms(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room()
    anna.put_account_data("m.tag", {"tags": {"x": {}}}, room)
    anna.put_account_data("custom", {"a": 1})
    first = anna.first_sync()
    assert {event["type"] for event in first["account_data"]["events"]} == {"custom", "m.push_rules"}
    assert first["rooms"]["join"][room]["account_data"]["events"][0]["type"] == "m.tag"
    anna.put_account_data("m.tag", {"tags": {}}, room)
    assert anna.joined(room)["account_data"]["events"] == [{"type": "m.tag", "content": {"tags": {}}}]


def test_filters_choose_rooms_and_events(site: SyncSite) -> None:
    anna = site.person("anna")
    room, other = anna.public_room(), anna.public_room()
    filter = {
        "room": {"rooms": [room], "timeline": {"types": ["m.room.message"]}, "state": {"types": []}},
        "account_data": {"types": []},
    }
    first = anna.first_sync(filter=filter)
    assert first["rooms"]["join"].keys() == {room}
    assert "account_data" not in first
    anna.set_state(room, "m.room.topic", {"topic": "x"})
    anna.say(other, "elsewhere")
    assert anna.sync(filter=filter).keys() == NOTHING_NEW
    anna.say(room, "here")
    assert texts(anna.joined(room, filter=filter)) == ["here"]


def test_filtered_timelines_look_further_back(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room()
    anna.say(room, "long ago")
    for number in range(70):
        anna.set_state(room, "custom", {"n": number})
    filter = {"room": {"timeline": {"types": ["*.message"], "limit": 1}}}
    shown = anna.first_sync(filter=filter)["rooms"]["join"][room]
    assert texts(shown) == ["long ago"]
    assert shown["timeline"]["limited"] is False


def test_fields_and_format_of_events_may_be_chosen(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room()
    anna.say(room, "hello")
    anna.first_sync()
    anna.say(room, "hello")
    since = anna.since
    with conformance.unchecked("it was asked for a part of each event"):
        event = anna.joined(room, filter={"event_fields": ["content.body"]})["timeline"]["events"][0]
    assert event == {"content": {"body": "hello"}}
    anna.since = since
    event = anna.joined(room, filter={"event_format": "federation"})["timeline"]["events"][0]
    assert {"auth_events", "signatures", "hashes", "event_id", "unsigned"} <= event.keys()


def test_ignored_users_are_silent_but_for_state(site: SyncSite) -> None:
    anna, bert, _cleo = site.people("anna", "bert", "cleo")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync()
    anna.put_account_data("m.ignored_user_list", {"ignored_users": {bert.user_id: {}}})
    anna.sync()
    bert.say(room, "psst")
    assert anna.joined(room) == {}
    bert.set_state(room, "m.room.member", {"membership": "join", "displayname": "B"}, bert.user_id)
    assert [event["type"] for event in anna.joined(room)["timeline"]["events"]] == ["m.room.member"]
    secret = bert.create(preset="private_chat")
    bert.invite(secret, anna)
    assert "invite" not in anna.sync().get("rooms", {})
    anna.put_account_data("m.ignored_user_list", {"ignored_users": {}})
    assert set(anna.sync()["rooms"]["invite"]) == {secret}, "it is shown now"
    assert "invite" not in anna.sync().get("rooms", {})
    bert.say(room, "again")
    assert texts(anna.joined(room)) == ["again"]


def test_tokens_live_through_a_restart(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync()
    bert.say(room, "before")
    site.start()
    bert.reconnect()
    bert.say(room, "after")
    assert texts(anna.joined(room)) == ["before", "after"]


def test_token_from_a_lost_future_begins_anew(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.public_room()
    anna.since = "m999999_x.1.0"
    assert room in anna.sync()["rooms"]["join"]
    assert anna.try_sync("nonsense").errcode == "M_INVALID_PARAM"


def test_live_clients_cost_no_query(site: SyncSite, monkeypatch: pytest.MonkeyPatch) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync()
    anna.sync()
    bert.say(room, "one")
    reads = []
    read = site.database.read

    def counted(fn: Any) -> Any:
        reads.append(fn)
        return read(fn)

    monkeypatch.setattr(site.database, "read", counted)
    assert texts(anna.joined(room)) == ["one"]
    anna.sync()
    assert reads == []


def test_what_memory_dropped_comes_from_the_database(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync()
    bert.say(room, "one")
    site.forget()
    bert.say(room, "two")
    assert texts(anna.joined(room)) == ["one", "two"]


def test_redacted_events_are_told_redacted(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync()
    event_id = bert.say(room, "oops")
    bert.redact(room, event_id)
    events = anna.joined(room)["timeline"]["events"]
    assert [event["type"] for event in events] == ["m.room.message", "m.room.redaction"]
    assert events[0]["content"] == {}
    assert events[0]["unsigned"]["redacted_because"]["sender"] == bert.user_id


def test_work_for_a_client_that_hung_up_is_kept_for_its_retry(
    site: SyncSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = site.person("anna")
    room = anna.public_room()
    read, held = site.database.read, []

    def hold(fn: Any) -> Any:
        deferred: Deferred[Any] = Deferred()
        held.append((fn, deferred))
        return deferred

    monkeypatch.setattr(site.database, "read", hold)
    poll = anna.poll()
    poll.abandon()
    while held:
        fn, deferred = held.pop()
        _ = read(fn).chainDeferred(deferred)
    poll = anna.poll()
    assert room in poll.reply.json["rooms"]["join"]
    assert held == []
