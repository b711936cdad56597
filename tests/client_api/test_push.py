"""Pushing to gateways.

https://spec.matrix.org/v1.19/push-gateway-api/
"""

from typing import Any
from urllib.parse import quote

import pytest

from storage.database import Database
from tests.client_api.push_site import URL, PushSite, pushers_of, set_pusher, texts, two
from tests.client_api.rooms_site import V3, room_path

OFF: dict[str, Any] = {"org.matrix.msc3881.enabled": False}
ON: dict[str, Any] = {"org.matrix.msc3881.enabled": True}
OTHER = "http://other.example/_matrix/push/v1/notify"


@pytest.fixture
def site(database: Database) -> PushSite:
    return PushSite(database)


def mention(*people: Any) -> dict[str, Any]:
    return {"m.mentions": {"user_ids": [each.user_id for each in people]}}


def test_a_message_is_pushed_with_all_that_is_specified(site: PushSite) -> None:
    anna, ben, room = two(site, name="Mission Control", room_alias_name="mission")
    assert ben.here.put(f"{V3}/profile/{ben.user_id}/displayname", {"displayname": "Major Tom"}).status == 200
    anna.set_state(room, "m.room.canonical_alias", {"alias": "#mission:test"})
    event_id = ben.say(room, "hello", **mention(anna))
    (push,) = site.pushed()
    assert push == {
        "id": event_id,
        "event_id": event_id,
        "room_id": room,
        "type": "m.room.message",
        "sender": ben.user_id,
        "sender_display_name": "Major Tom",
        "room_name": "Mission Control",
        "room_alias": "#mission:test",
        "prio": "high",
        "content": {"msgtype": "m.text", "body": "hello", **mention(anna)},
        "counts": {"unread": 1},
        "devices": [
            {
                "app_id": "org.example.app",
                "pushkey": "key",
                "pushkey_ts": site.clock.now_ms() // 1000 - 3,
                "data": {},
                "tweaks": {"sound": "default", "highlight": True},
            }
        ],
    }


def test_an_app_may_want_ids_only_and_gets_its_data_back(site: PushSite) -> None:
    anna, ben, room = two(site)
    set_pusher(anna, data={"url": URL, "format": "event_id_only", "custom": {"x": 1}})
    event_id = ben.say(room, "secret")
    (push,) = site.pushed()
    assert push.keys() == {"event_id", "room_id", "counts", "prio", "devices"}
    assert (push["event_id"], push["room_id"]) == (event_id, room)
    assert push["devices"][0]["data"] == {"format": "event_id_only", "custom": {"x": 1}}


def test_the_operator_may_keep_content_from_gateways(database: Database) -> None:
    site = PushSite(database, {"push": {"allow_http": True, "include_content": False}})
    _, ben, room = two(site)
    ben.say(room, "secret")
    (push,) = site.pushed()
    assert "secret" not in str(push)


def test_nothing_is_pushed_where_pushing_is_off(database: Database) -> None:
    site = PushSite(database, {"push": {"allow_http": True, "enabled": False}})
    anna, ben, room = two(site)
    ben.say(room, "hello")
    assert site.pushed() == []
    assert len(pushers_of(anna)) == 1


def test_one_is_not_pushed_for_ones_own_messages_nor_for_what_was_before(site: PushSite) -> None:
    anna, ben = site.people("anna", "ben")
    room = anna.public_room()
    ben.join(room)
    ben.say(room, "before")
    set_pusher(anna)
    anna.say(room, "mine")
    assert site.pushed() == []


def test_a_room_of_two_without_a_name_has_none_and_a_larger_one_that_of_its_members(site: PushSite) -> None:
    _anna, ben, room = two(site)
    ben.say(room, "hello")
    (push,) = site.pushed()
    assert "room_name" not in push
    assert push["sender_display_name"] == "ben"
    for name in ("carl", "dora", "emil"):
        site.person(name).join(room)
    ben.say(room, "to all")
    (push,) = site.pushed()
    assert push["room_name"] == "ben, carl, dora and 1 other"


def test_invites_are_pushed_and_count(site: PushSite) -> None:
    anna, ben = site.people("anna", "ben")
    set_pusher(anna)
    room = ben.create(name="Party")
    ben.invite(room, anna)
    (push,) = site.pushed()
    assert (push["type"], push["membership"], push["user_is_target"]) == ("m.room.member", "invite", True)
    assert (push["room_name"], push["sender"]) == ("Party", ben.user_id)
    assert (push["prio"], push["counts"]) == ("high", {"unread": 1})
    anna.act("leave", room)
    (push,) = site.pushed()
    assert push["counts"] == {"unread": 0}


def test_an_encrypted_message_is_pushed_with_high_priority(site: PushSite) -> None:
    _, ben, room = two(site)
    content = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "session_id": "s"}
    assert ben.here.put(room_path(room, "send", "m.room.encrypted", "e1"), content).status == 200
    (push,) = site.pushed()
    assert (push["type"], push["prio"], push["content"]) == ("m.room.encrypted", "high", content)


def test_rules_decide_what_is_pushed_and_how(site: PushSite) -> None:
    anna, ben, room = two(site)
    third = site.person("carl")
    third.join(room)
    ben.say(room, "no sound in a group")
    (push,) = site.pushed()
    assert (push["devices"][0]["tweaks"], push["prio"]) == ({}, "low")
    rule = f"{V3}/pushrules/global/room/{quote(room, safe='')}"
    assert anna.here.put(rule, {"actions": []}).status == 200
    ben.say(room, "muted")
    assert texts(site.pushed()) == []
    ben.say(room, "mentioned", **mention(anna))
    assert texts(site.pushed()) == ["mentioned"]


def test_reading_elsewhere_takes_the_badge_back(site: PushSite) -> None:
    anna, ben, room = two(site)
    first, second = ben.say(room, "one"), ben.say(room, "two")
    assert [push["counts"] for push in site.pushed()] == [{"unread": 2}, {"unread": 2}]
    anna.receipt(room, first)
    (push,) = site.pushed()
    assert push["counts"] == {"unread": 1}
    assert "event_id" not in push
    anna.receipt(room, second, "m.read.private")
    (push,) = site.pushed()
    assert push["counts"] == {"unread": 0}
    anna.receipt(room, second)
    assert site.pushed() == []


@pytest.mark.parametrize("way", ["answering", "leaving", "redaction", "muting", "ignoring"])
def test_whatever_else_takes_what_is_unread_takes_the_badge_back(site: PushSite, way: str) -> None:
    anna, ben, room = two(site)
    event_id = ben.say(room, "hello")
    assert len(site.pushed()) == 1
    if way == "answering":
        anna.say(room, "hi")
    elif way == "leaving":
        anna.act("leave", room)
    elif way == "redaction":
        ben.redact(room, event_id)
    elif way == "muting":
        rule = f"{V3}/pushrules/global/room/{quote(room, safe='')}"
        assert anna.here.put(rule, {"actions": []}).status == 200
    else:
        anna.put_account_data("m.ignored_user_list", {"ignored_users": {ben.user_id: {}}})
    (push,) = site.pushed()
    assert push["counts"] == {"unread": 0}


def test_reading_much_at_once_is_one_push(site: PushSite) -> None:
    anna, ben, room = two(site)
    other = ben.public_room()
    anna.join(other)
    messages = [(each, ben.say(each, "hello")) for each in (room, other, room)]
    site.pushed()
    for each, event_id in messages:
        anna.receipt(each, event_id)
        site.pass_time(0.2)
    assert [push["counts"] for push in site.pushed()] == [{"unread": 0}]


def test_counts_that_wait_go_with_the_next_event(site: PushSite) -> None:
    anna, ben, room = two(site)
    first = ben.say(room, "one")
    site.pushed()
    anna.receipt(room, first)
    site.pass_time(0.4)
    ben.say(room, "two")
    pushes = site.pushed(0.5)
    assert [(push["content"]["body"], push["counts"]) for push in pushes] == [("two", {"unread": 1})]
    assert site.pushed() == []


def test_counts_are_over_all_rooms(site: PushSite) -> None:
    anna, ben, room = two(site)
    other = ben.public_room()
    anna.join(other)
    ben.say(room, "one")
    site.pushed()
    ben.say(other, "two")
    (push,) = site.pushed()
    assert push["counts"] == {"unread": 2}


def test_missed_calls_are_counted(site: PushSite) -> None:
    _anna, ben, room = two(site)
    call = {"call_id": "c1", "party_id": "p", "version": "1", "lifetime": 60_000}
    for number, kind in enumerate(("m.call.invite", "m.call.hangup")):
        assert ben.here.put(room_path(room, "send", kind, f"c{number}"), call).status == 200
        site.pass_time()
    ben.say(room, "call me")
    (ring, message) = [push for push in site.gateway.take() + site.pushed() if "event_id" in push]
    assert (ring["type"], ring["counts"]) == ("m.call.invite", {"unread": 1})
    assert message["counts"] == {"unread": 2, "missed_calls": 1}


def test_ignored_people_and_who_left_are_not_heard(site: PushSite) -> None:
    anna, ben, room = two(site)
    anna.put_account_data("m.ignored_user_list", {"ignored_users": {ben.user_id: {}}})
    ben.say(room, "shout")
    ben.invite(ben.create(), anna)
    assert site.pushed() == []
    anna.put_account_data("m.ignored_user_list", {"ignored_users": {}})
    site.pushed()
    anna.act("leave", room)
    ben.say(room, "gossip")
    assert texts(site.pushed()) == []


def test_who_joins_later_is_not_pushed_what_was_said_before(site: PushSite) -> None:
    _anna, ben, room = two(site)
    late = site.person("late")
    set_pusher(late, "late")
    ben.say(room, "before")
    late.join(room)
    pushes = [push for push in site.pushed() if push["devices"][0]["pushkey"] == "late"]
    assert texts(pushes) == []


def test_what_a_gateway_did_not_take_is_pushed_again_in_order(site: PushSite) -> None:
    _, ben, room = two(site)
    site.gateway.status = 502
    ben.say(room, "one")
    ben.say(room, "two")
    assert set(texts(site.pushed(20))) == {"one"}
    site.gateway.status = 200
    assert texts(site.pushed(60)) == ["one", "two"]
    assert site.pushed(60) == []


def test_attempts_become_rarer(site: PushSite) -> None:
    _, ben, room = two(site)
    site.gateway.status = 500
    ben.say(room, "hello")
    first, second = len(site.pushed(60)), len(site.pushed(60))
    assert first > second
    assert second <= 1


def test_a_gateway_that_is_away_is_asked_for_nobody(site: PushSite) -> None:
    anna, ben, room = two(site)
    set_pusher(ben, "bens")
    site.gateway.away()
    ben.say(room, "one")
    site.pass_time(30)
    anna.say(room, "two")
    site.gateway.back()
    pushes = site.pushed(120)
    assert sorted(texts(pushes)) == ["one", "two"]


def test_a_gateway_may_ask_to_be_left_alone(site: PushSite) -> None:
    _, ben, room = two(site)
    site.gateway.status = 429
    site.gateway.headers = {"Retry-After": "100"}
    ben.say(room, "hello")
    assert len(site.pushed(90)) == 1
    site.gateway.status = 200
    assert texts(site.pushed(60)) == ["hello"]


def test_one_gateway_does_not_hold_up_another(site: PushSite) -> None:
    anna, ben, room = two(site)
    set_pusher(anna, "second", data={"url": OTHER})
    site.gateway.silent = True
    ben.say(room, "hello")
    site.pass_time(5)
    assert texts(site.other_gateway.take()) == ["hello"]


def test_what_makes_a_sound_goes_first(database: Database) -> None:
    site = PushSite(database, {"push": {"allow_http": True, "requests_per_gateway": 1}})
    _anna, ben, room = two(site)
    others = site.people("carl", "dora", "emil")
    for other in others:
        other.join(room)
        set_pusher(other, other.user_id)
    ben.say(room, "to all", **mention(others[2]))
    keys = [push["devices"][0]["pushkey"] for push in site.pushed()]
    assert keys[0] == others[2].user_id
    assert len(keys) == 4


def test_what_was_read_or_redacted_meanwhile_is_not_pushed_any_more(site: PushSite) -> None:
    anna, ben, room = two(site)
    site.gateway.away()
    read, struck = ben.say(room, "read"), ben.say(room, "struck")
    site.pass_time(5)
    anna.receipt(room, read)
    ben.redact(room, struck)
    ben.say(room, "news")
    site.gateway.back()
    assert texts(site.pushed(60)) == ["news"]


def test_what_is_too_old_is_given_up(database: Database) -> None:
    site = PushSite(database, {"push": {"allow_http": True, "give_up_after": "10m"}})
    _, ben, room = two(site)
    site.gateway.away()
    ben.say(room, "old")
    site.pass_time(700)
    ben.say(room, "new")
    site.gateway.back()
    pushes = site.pushed(1200)
    assert texts(pushes) == ["new"]
    assert pushes[0]["counts"] == {"unread": 2}


def test_a_rejected_pusher_is_removed(site: PushSite) -> None:
    anna, ben, room = two(site)
    set_pusher(anna, "good")
    set_pusher(anna, "elsewhere", data={"url": OTHER})
    site.gateway.rejected = ["key", "elsewhere"]
    ben.say(room, "one")
    site.pushed()
    assert [each["pushkey"] for each in pushers_of(anna)] == ["good", "elsewhere"]
    ben.say(room, "two")
    assert [push["devices"][0]["pushkey"] for push in site.pushed()] == ["good"]


def test_a_pusher_that_is_off_is_told_nothing(site: PushSite) -> None:
    anna, ben, room = two(site)
    set_pusher(anna, **OFF)
    ben.say(room, "unheard")
    assert site.pushed() == []
    set_pusher(anna, **ON)
    ben.say(room, "heard")
    assert texts(site.pushed()) == ["heard"]


def test_private_addresses_are_not_asked(site: PushSite) -> None:
    _anna, ben, room = two(site)
    site.names.names["gateway.example"] = "127.0.0.1"
    ben.say(room, "hello")
    assert site.pushed(20) == []


def test_nothing_is_lost_when_the_server_is_killed(site: PushSite) -> None:
    anna, ben, room = two(site)
    site.gateway.away()
    ben.say(room, "one")
    site.pass_time(2)
    ben.say(room, "two")
    site.kill()
    site.gateway.back()
    site.start()
    ben.say(room, "three")
    assert texts(site.pushed(60)) == ["one", "two", "three"]
    anna.receipt(room, ben.say(room, "four"))
    assert site.pushed(60)[-1]["counts"] == {"unread": 0}


def test_a_restart_pushes_nothing_twice(site: PushSite) -> None:
    _, ben, room = two(site)
    ben.say(room, "one")
    assert texts(site.pushed()) == ["one"]
    site.kill()
    site.start()
    assert site.pushed(30) == []


def test_a_message_costs_who_sends_it_nothing_for_pushers(site: PushSite) -> None:
    _anna, ben, room = two(site)
    site.pushed()
    asked: list[object] = []
    read = site.database.read

    def noted(fn: Any) -> Any:
        asked.append(fn)
        return read(fn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.database, "read", noted)
        ben.say(room, "hello")
    assert asked == []


def test_following_other_threads_changes_the_badge(database: Database) -> None:
    site = PushSite(database, {"thread_subscriptions": {"enabled": True}})
    anna, ben, room = two(site)
    root = anna.say(room, "root")
    path = (
        f"/_matrix/client/unstable/io.element.msc4306/rooms/{quote(room)}/thread/{quote(root)}/subscription"
    )
    anna.first_sync()
    ben.say(room, "reply", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    assert site.pushed() == []
    assert anna.joined(room)["unread_notifications"]["notification_count"] == 0
    assert anna.here.put(path, {}).status == 200
    (push,) = site.pushed()
    assert push["counts"] == {"unread": 1}
    assert "event_id" not in push
    assert anna.joined(room)["unread_notifications"]["notification_count"] == 1
    assert anna.here.request("DELETE", path).status == 200
    assert [push["counts"] for push in site.pushed()] == [{"unread": 0}]
    assert anna.joined(room)["unread_notifications"]["notification_count"] == 0
