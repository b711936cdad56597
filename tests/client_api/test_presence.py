"""Presence."""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite, is_empty


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
    shown = bert.here.get(path(bert)).json
    assert (shown["presence"], shown["currently_active"]) == ("online", True)


def test_presence_is_read_by_who_shares_a_room(site: SyncSite) -> None:
    anna, bert, cleo = site.people("anna", "bert", "cleo")
    bert.join(anna.public_room())
    set_presence(bert, "online", "hello")
    shown = anna.here.get(path(bert)).json
    assert (shown["presence"], shown["status_msg"], shown["last_active_ago"]) == ("online", "hello", 100)
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
