"""The list of notifications.

https://spec.matrix.org/v1.19/client-server-api/#listing-notifications
"""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def two(site: SyncSite) -> tuple[Syncer, Syncer, str]:
    anna, ben = site.people("anna", "ben")
    room = anna.public_room()
    ben.join(room)
    return anna, ben, room


def listed(person: Syncer, **query: Any) -> Any:
    reply = person.here.get(f"{V3}/notifications", query)
    assert reply.status == 200, reply.text
    return reply.json


def bodies(answer: Any) -> list[str]:
    return [each["event"]["content"].get("body", "") for each in answer["notifications"]]


def test_messages_of_others_are_listed_the_latest_first(site: SyncSite) -> None:
    anna, ben, room = two(site)
    first = ben.say(room, "one")
    ben.say(room, "two", **{"m.mentions": {"user_ids": [anna.user_id]}})
    anna.say(room, "mine")
    anna.receipt(room, first)
    answer = listed(anna)
    assert bodies(answer) == ["two", "one"]
    assert [each["read"] for each in answer["notifications"]] == [False, True]
    assert answer["notifications"][0]["room_id"] == room
    assert "next_token" not in answer
    assert listed(ben)["notifications"][-1]["event"]["content"]["body"] == "mine"


def test_highlights_can_be_listed_alone(site: SyncSite) -> None:
    anna, ben, room = two(site)
    ben.say(room, "one")
    ben.say(room, "two", **{"m.mentions": {"user_ids": [anna.user_id]}})
    assert bodies(listed(anna, only="highlight")) == ["two"]


def test_pages_follow_each_other(site: SyncSite) -> None:
    anna, ben, room = two(site)
    for number in range(5):
        ben.say(room, str(number))
    page = listed(anna, limit=2)
    assert bodies(page) == ["4", "3"]
    page = listed(anna, limit=2, **{"from": page["next_token"]})
    assert bodies(page) == ["2", "1"]
    page = listed(anna, limit=2, **{"from": page["next_token"]})
    assert (bodies(page), "next_token" in page) == (["0"], False)


def test_invites_are_listed(site: SyncSite) -> None:
    anna, ben = site.people("anna", "ben")
    room = anna.create()
    anna.invite(room, ben)
    (only,) = listed(ben)["notifications"]
    assert (only["room_id"], only["event"]["content"]["membership"]) == (room, "invite")


def test_what_was_said_where_the_user_was_not_is_not_listed(site: SyncSite) -> None:
    anna, ben, room = two(site)
    ben.say(room, "before")
    anna.act("leave", room)
    ben.say(room, "meanwhile", **{"m.mentions": {"user_ids": [anna.user_id]}})
    assert listed(anna)["notifications"] == []
    anna.join(room)
    assert listed(anna)["notifications"] == []


def test_own_rules_redactions_and_ignored_users_are_minded(site: SyncSite) -> None:
    anna, ben, room = two(site)
    rule = {"pattern": "cake", "actions": ["dont_notify"]}
    anna.here.put(f"{V3}/pushrules/global/content/cake", rule)
    ben.say(room, "cake")
    ben.redact(room, ben.say(room, "oops"))
    ben.say(room, "tea")
    assert bodies(listed(anna)) == ["tea"]
    anna.put_account_data("m.ignored_user_list", {"ignored_users": {ben.user_id: {}}})
    assert bodies(listed(anna)) == []


@pytest.mark.parametrize("query", [{"from": "x"}, {"from": "-1"}, {"from": "9" * 30}, {"limit": "many"}])
def test_bad_parameters_are_refused(site: SyncSite, query: dict[str, str]) -> None:
    reply = site.person("anna").here.get(f"{V3}/notifications", query)
    assert (reply.status, reply.json["errcode"]) == (400, "M_INVALID_PARAM")
