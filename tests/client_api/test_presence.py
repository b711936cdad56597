"""Presence."""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite, is_empty
from tests.harness.conformance import unchecked
from tests.harness.memory import result_of


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def path(person: Syncer) -> str:
    return f"{V3}/presence/{person.user_id}/status"


def presence_in(answer: dict[str, Any]) -> dict[str, str]:
    events = answer.get("presence", {}).get("events", [])
    return {event["sender"]: event["content"]["presence"] for event in events}


def set_presence(person: Syncer, presence: str, message: str | None = None) -> None:
    body = {"presence": presence} if message is None else {"presence": presence, "status_msg": message}
    assert person.here.put(path(person), body).status == 200
    person.sync_site.turn(0.1)


def test_presence_is_told_to_who_shares_a_room(site: SyncSite) -> None:
    anna, bert, cleo = site.people("anna", "bert", "cleo")
    bert.join(anna.public_room())
    for each in (anna, cleo):
        each.first_sync(set_presence="offline")
    set_presence(bert, "unavailable", "at lunch")
    assert presence_in(anna.sync(set_presence="offline")) == {bert.user_id: "unavailable"}
    assert presence_in(cleo.sync(set_presence="offline")) == {}


def test_presence_of_who_never_synced_wakes_polls(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    bert.join(anna.public_room())
    anna.first_sync(set_presence="offline")
    poll = anna.poll(set_presence="offline")
    set_presence(bert, "online")
    assert presence_in(poll.reply.json) == {bert.user_id: "online"}


def test_the_own_presence_wakes_no_poll_when_a_sync_or_a_message_changed_it(site: SyncSite) -> None:
    anna = site.person("anna")
    room = anna.create()
    anna.first_sync()
    poll = anna.poll()
    site.turn(0.1)
    assert not poll.done
    anna.put_account_data("org.example", {})
    site.turn(0.1)
    told = poll.reply.json
    assert [event["type"] for event in told["account_data"]["events"]] == ["org.example"]
    assert presence_in(told) == {anna.user_id: "online"}
    for _ in range(5):
        site.turn(15)
        anna.sync()
    site.turn(0.1)
    anna.sync()
    anna.say(room, "here")
    anna.sync()
    poll = anna.poll(timeout=1000)
    site.turn(0.1)
    assert not poll.done
    site.turn(2)
    assert poll.reply.json["presence"]["events"][0]["content"]["currently_active"]


def test_another_device_that_sets_the_presence_wakes_polls(site: SyncSite) -> None:
    anna = site.person("anna")
    phone = device(anna)
    anna.first_sync()
    site.turn(0.1)
    anna.sync()
    poll = anna.poll()
    set_presence(phone, "online", "on the phone")
    assert poll.reply.json["presence"]["events"][0]["content"]["status_msg"] == "on the phone"


def test_syncing_makes_online_and_going_away_offline(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    bert.join(anna.public_room())
    anna.first_sync(set_presence="offline")
    bert.first_sync()
    site.turn(0.1)
    assert presence_in(anna.sync(set_presence="offline")) == {bert.user_id: "online"}
    site.turn(60)
    assert presence_in(anna.sync(set_presence="offline")) == {bert.user_id: "offline"}


def test_who_does_nothing_for_long_is_unavailable_until_they_do(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    bert.first_sync()
    for _ in range(16):
        site.turn(20)
        bert.sync()
    assert bert.here.get(path(bert)).json["presence"] == "unavailable"
    bert.say(room, "here I am")
    site.turn(0.1)
    now = bert.here.get(path(bert)).json
    assert (now["presence"], now["currently_active"]) == ("online", True)


def device(person: Syncer) -> Syncer:
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": person.user_id},
        "password": PASSWORD,
    }
    return Syncer(person.sync_site, person.here.post(f"{V3}/login", body).json)


def shown(person: Syncer) -> dict[str, Any]:
    person.sync_site.turn(0.1)
    answer: dict[str, Any] = person.here.get(path(person)).json
    return answer


def test_devices_of_a_user_are_taken_together(site: SyncSite) -> None:
    bert = site.person("bert")
    phone = device(bert)
    bert.first_sync()
    phone.first_sync(set_presence="unavailable")
    assert shown(bert)["presence"] == "online"
    bert.sync(set_presence="unavailable")
    assert shown(bert)["presence"] == "unavailable"
    phone.sync(set_presence="online")
    assert shown(bert)["presence"] == "online"
    for _ in range(4):
        site.turn(15)
        bert.sync(set_presence="unavailable")
    assert shown(bert)["presence"] == "unavailable", "the phone went away"


def test_who_sets_offline_in_a_sync_is_not_seen(site: SyncSite) -> None:
    bert = site.person("bert")
    bert.first_sync(set_presence="offline")
    assert shown(bert) == {"presence": "offline"}
    bert.sync()
    assert shown(bert)["presence"] == "online"
    for _ in range(4):
        site.turn(15)
        bert.sync(set_presence="offline")
    assert shown(bert)["presence"] == "offline"


@pytest.mark.parametrize("name", ["busy", "org.matrix.msc3026.busy"])
def test_who_is_busy_on_one_device_is_busy(site: SyncSite, name: str) -> None:
    with unchecked("a state that is not in the specification yet"):
        be_busy(site, name)


def be_busy(site: SyncSite, name: str) -> None:
    bert = site.person("bert")
    phone = device(bert)
    assert bert.here.get("/_matrix/client/versions").json["unstable_features"][
        "org.matrix.msc3026.busy_presence"
    ]
    set_presence(phone, name)
    bert.first_sync(set_presence="online")
    phone.sync(set_presence="online")
    assert shown(bert)["presence"] == "org.matrix.msc3026.busy"
    for _ in range(30):
        site.turn(15)
        phone.sync()
    assert shown(bert)["presence"] == "org.matrix.msc3026.busy", "busy does not become idle"
    set_presence(phone, "online")
    assert shown(bert)["presence"] == "online"


def test_who_was_active_a_while_ago_is_not_active_now(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    bert.join(room)
    anna.first_sync(set_presence="offline")
    bert.first_sync()
    site.turn(0.1)
    told = [anna.sync(set_presence="offline")["presence"]["events"][0]["content"]]
    for _ in range(6):
        site.turn(15)
        bert.sync()
    told.append(anna.sync(set_presence="offline")["presence"]["events"][0]["content"])
    bert.say(room, "here")
    site.turn(0.1)
    told.append(anna.sync(set_presence="offline")["presence"]["events"][0]["content"])
    assert [(each["presence"], each["currently_active"]) for each in told] == [
        ("online", True),
        ("online", False),
        ("online", True),
    ]


def test_changes_of_a_moment_are_told_once(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    bert.join(anna.public_room())
    anna.first_sync(set_presence="offline")
    for number in range(5):
        bert.here.put(path(bert), {"presence": "online", "status_msg": str(number)})
    site.turn(0.1)
    events = anna.sync(set_presence="offline")["presence"]["events"]
    assert [event["content"]["status_msg"] for event in events] == ["4"]


def test_more_presence_than_fits_one_answer_comes_with_the_next(
    site: SyncSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeserver.services.sync.here.MAX_PRESENCE", 2)
    anna, *others = site.people("anna", "bert", "cleo", "dora", "emil", "fran")
    room = anna.public_room()
    for each in others:
        each.join(room)
    anna.first_sync(set_presence="offline")
    for each in others:
        set_presence(each, "online")
    told = [presence_in(anna.sync(set_presence="offline")) for _ in range(4)]
    assert [len(each) for each in told] == [2, 2, 1, 0]
    assert set().union(*told) == {each.user_id for each in others}


def test_many_changes_are_searched_for_those_who_are_near(
    site: SyncSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeserver.services.sync.here.FEW", 0)
    anna, bert, cleo, dora, emil = site.people("anna", "bert", "cleo", "dora", "emil")
    room, other = anna.public_room(), dora.public_room()
    bert.join(room)
    cleo.join(other)
    emil.join(room)
    for each in (anna, bert, cleo, dora):
        each.first_sync(set_presence="offline")
    for each in (anna, bert, cleo, dora, emil):
        set_presence(each, "online")
    near = {anna.user_id, bert.user_id, emil.user_id}
    assert presence_in(anna.sync(set_presence="offline")).keys() == near
    assert presence_in(anna.first_sync(set_presence="offline")).keys() == near


def test_members_of_a_crowd_are_not_told_of_each_other(database: Database) -> None:
    site = SyncSite(database, {"presence": {"largest_room": 2}})
    anna, bert, cleo = site.people("anna", "bert", "cleo")
    room = anna.public_room()
    for each in (bert, cleo):
        each.join(room)
    for each in (anna, bert, cleo):
        each.first_sync(set_presence="offline")
    set_presence(bert, "online")
    assert is_empty(anna.sync(set_presence="offline"))
    cleo.act("leave", room)
    set_presence(bert, "unavailable")
    assert presence_in(anna.sync(set_presence="offline")) == {bert.user_id: "unavailable"}


def test_whoever_comes_into_a_room_is_shown_to_its_members(site: SyncSite) -> None:
    anna, bert, cleo = site.people("anna", "bert", "cleo")
    room = anna.public_room()
    set_presence(bert, "online", "new here")
    anna.first_sync(set_presence="offline")
    bert.join(room)
    cleo.join(room)
    assert presence_in(anna.sync(set_presence="offline")) == {bert.user_id: "online", cleo.user_id: "offline"}
    assert is_empty(anna.sync(set_presence="offline"))
    site.start()
    set_presence(cleo, "online")
    cleo.act("leave", room)
    cleo.join(room)
    assert presence_in(anna.sync(set_presence="offline")) == {cleo.user_id: "online"}


def test_who_does_not_come_back_after_a_restart_is_told_to_be_offline(site: SyncSite) -> None:
    anna, bert, cleo = site.people("anna", "bert", "cleo")
    room = anna.public_room()
    for each in (bert, cleo):
        each.join(room)
    result_of(site.app.sync.presence_record.start())
    anna.first_sync(set_presence="offline")
    for each in (bert, cleo):
        set_presence(each, "online", "hello")
    assert presence_in(anna.sync(set_presence="offline")) == dict.fromkeys(
        (bert.user_id, cleo.user_id), "online"
    )
    result_of(site.app.sync.presence_record.stop())
    site.start()
    result_of(site.app.sync.presence_record.start())
    bert.sync()
    site.turn(20)
    bert.sync()
    site.turn(20)
    assert presence_in(anna.sync(set_presence="offline")) == {
        bert.user_id: "online",
        cleo.user_id: "offline",
    }
    assert (shown(cleo)["presence"], shown(cleo)["status_msg"]) == ("offline", "hello")


def test_presence_is_read_by_who_shares_a_room(site: SyncSite) -> None:
    anna, bert, cleo = site.people("anna", "bert", "cleo")
    bert.join(anna.public_room())
    set_presence(bert, "online", "hello")
    seen = anna.here.get(path(bert)).json
    assert (seen["presence"], seen["status_msg"], seen["last_active_ago"]) == ("online", "hello", 100)
    assert cleo.here.get(path(bert)).status == 403


def test_presence_of_others_cannot_be_set(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    assert anna.here.put(path(bert), {"presence": "offline"}).status == 403
    assert anna.here.put(path(anna), {"presence": "dancing"}).status == 400


def test_who_comes_into_a_room_learns_who_is_there(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    room = anna.public_room()
    anna.first_sync()
    site.turn(0.1)
    bert.first_sync(set_presence="offline")
    bert.join(room)
    assert presence_in(bert.sync(set_presence="offline")) == {anna.user_id: "online"}


def test_presence_can_be_filtered_away(site: SyncSite) -> None:
    anna, bert = site.people("anna", "bert")
    bert.join(anna.public_room())
    anna.first_sync(set_presence="offline")
    set_presence(bert, "online")
    answer = anna.sync(set_presence="offline", filter={"presence": {"types": []}})
    assert is_empty(answer)


def test_presence_may_be_switched_off(database: Database) -> None:
    site = SyncSite(database, {"presence": {"enabled": False}})
    anna, bert = site.people("anna", "bert")
    bert.join(anna.public_room())
    anna.first_sync()
    set_presence(bert, "online")
    assert is_empty(anna.sync())
    assert anna.here.get(path(bert)).json["presence"] == "offline"
