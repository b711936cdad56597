"""Setting pushers, and what they go with.

https://spec.matrix.org/v1.19/client-server-api/#push-notifications
"""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.push_site import URL, PushSite, pusher, pushers_of, set_pusher, try_pusher
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer


@pytest.fixture
def site(database: Database) -> PushSite:
    return PushSite(database)


OFF: dict[str, Any] = {"org.matrix.msc3881.enabled": False}


def login(site: PushSite, person: Syncer) -> Syncer:
    """Another session."""
    identifier = {"type": "m.id.user", "user": person.user_id}
    body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    reply = site.http.post(f"{V3}/login", body)
    assert reply.status == 200, reply.text
    return Syncer(site, reply.json)


def auth(person: Syncer) -> dict[str, Any]:
    identifier = {"type": "m.id.user", "user": person.user_id}
    return {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}


def keys(person: Syncer) -> list[str]:
    return [each["pushkey"] for each in pushers_of(person)]


def test_a_pusher_is_listed_as_it_was_set(site: PushSite) -> None:
    (anna,) = site.people("anna")
    assert pushers_of(anna) == []
    data = {"url": URL, "format": "event_id_only", "custom": {"a": [1]}}
    set_pusher(anna, profile_tag="tag", data=data)
    (found,) = pushers_of(anna)
    assert found == {
        "app_id": "org.example.app",
        "pushkey": "key",
        "kind": "http",
        "app_display_name": "App",
        "device_display_name": "Phone",
        "profile_tag": "tag",
        "lang": "en",
        "data": data,
        "org.matrix.msc3881.enabled": True,
        "org.matrix.msc3881.device_id": anna.device_id,
    }


def test_setting_it_again_changes_it(site: PushSite) -> None:
    (anna,) = site.people("anna")
    set_pusher(anna)
    set_pusher(anna, lang="de", **OFF)
    (found,) = pushers_of(anna)
    assert (found["lang"], found["org.matrix.msc3881.enabled"]) == ("de", False)


def test_a_kind_of_null_deletes_it(site: PushSite) -> None:
    (anna,) = site.people("anna")
    set_pusher(anna)
    set_pusher(anna, "second")
    body = {"kind": None, "app_id": "org.example.app", "pushkey": "key"}
    assert anna.here.post(f"{V3}/pushers/set", body).status == 200
    assert anna.here.post(f"{V3}/pushers/set", body).status == 200
    assert keys(anna) == ["second"]


def test_a_key_moves_to_who_sets_it_last_unless_it_is_appended(site: PushSite) -> None:
    anna, ben = site.people("anna", "ben")
    set_pusher(anna)
    set_pusher(ben, append=True)
    assert (keys(anna), keys(ben)) == (["key"], ["key"])
    set_pusher(anna)
    assert (keys(anna), keys(ben)) == (["key"], [])


@pytest.mark.parametrize("name", ["lang", "data", "app_display_name", "device_display_name"])
def test_what_is_missing_is_said(site: PushSite, name: str) -> None:
    (anna,) = site.people("anna")
    body = pusher()
    del body[name]
    reply = anna.here.post(f"{V3}/pushers/set", body)
    assert (reply.status, reply.errcode) == (400, "M_MISSING_PARAM")
    assert name in reply.json["error"]


@pytest.mark.parametrize(
    "changes",
    [
        {"app_id": "a" * 65},
        {"pushkey": "ü" * 257},
        {"kind": "pigeon"},
        {"lang": "\0"},
        {"data": {}},
        {"data": {"url": 7}},
        {"data": {"url": "ftp://gateway.example/_matrix/push/v1/notify"}},
        {"data": {"url": "http://gateway.example/elsewhere"}},
        {"data": {"url": "http:///_matrix/push/v1/notify"}},
        {"data": {"url": "http://gateway.example:port/_matrix/push/v1/notify"}},
        {"data": {"url": "http://somebody@gateway.example/_matrix/push/v1/notify"}},
        {"data": {"url": URL, "custom": "x" * 20_000}},
    ],
)
def test_what_cannot_be_a_pusher_is_refused(site: PushSite, changes: dict[str, Any]) -> None:
    (anna,) = site.people("anna")
    reply = anna.here.post(f"{V3}/pushers/set", {**pusher(), **changes})
    assert (reply.status, reply.errcode) == (400, "M_INVALID_PARAM")
    assert pushers_of(anna) == []


def test_gateways_need_tls_unless_the_operator_says_otherwise(database: Database) -> None:
    site = PushSite(database, {"push": {}})
    (anna,) = site.people("anna")
    assert try_pusher(anna).errcode == "M_INVALID_PARAM"
    set_pusher(anna, data={"url": URL.replace("http:", "https:")})


def test_there_is_a_limit_of_pushers(database: Database) -> None:
    site = PushSite(database, {"push": {"allow_http": True, "pushers_per_user": 2}})
    (anna,) = site.people("anna")
    set_pusher(anna, "one")
    set_pusher(anna, "two")
    assert try_pusher(anna, "three").errcode == "M_USER_LIMIT_EXCEEDED"
    set_pusher(anna, "two", lang="de")


def test_a_pusher_goes_with_the_device_that_set_it(site: PushSite) -> None:
    (anna,) = site.people("anna")
    second, third = login(site, anna), login(site, anna)
    for person, key in ((anna, "first"), (second, "second"), (third, "third")):
        set_pusher(person, key)
    assert second.here.post(f"{V3}/logout").status == 200
    assert keys(anna) == ["first", "third"]
    body = {"auth": auth(anna)}
    assert anna.here.delete(f"{V3}/devices/{third.device_id}", body).status == 200
    assert keys(anna) == ["first"]


def test_a_new_password_ends_the_pushers_of_other_sessions(site: PushSite) -> None:
    (anna,) = site.people("anna")
    other = login(site, anna)
    set_pusher(anna, "mine")
    set_pusher(other, "other")
    body = {"auth": auth(anna), "new_password": "battery staple", "logout_devices": False}
    assert anna.here.post(f"{V3}/account/password", body).status == 200
    assert keys(anna) == ["mine", "other"]
    again = {**auth(anna), "password": "battery staple"}
    body = {"auth": again, "new_password": PASSWORD}
    assert anna.here.post(f"{V3}/account/password", body).status == 200
    assert keys(anna) == ["mine"]
