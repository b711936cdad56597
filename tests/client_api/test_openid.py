"""Proving to another service who one is.

https://spec.matrix.org/v1.19/client-server-api/#openid
"""

import pytest

from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.client import Client, Reply

USER_INFO = "/_matrix/federation/v1/openid/userinfo"


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def asked(person: Syncer, user_id: str) -> Reply:
    return person.here.post(f"{V3}/user/{user_id}/openid/request_token", {})


def told(site: SyncSite, token: str) -> Reply:
    return Client(site.app.site("federation")).get(USER_INFO, {"access_token": token})


def test_a_service_learns_who_the_user_is(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    answer = asked(anna, anna.user_id).json
    assert answer["token_type"] == "Bearer"
    assert (answer["matrix_server_name"], answer["expires_in"]) == ("test", 3600)
    for _ in range(2):
        reply = told(site, answer["access_token"])
        assert (reply.status, reply.json) == (200, {"sub": anna.user_id})


def test_the_token_is_good_for_nothing_else_and_an_hour(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    token = asked(anna, anna.user_id).json["access_token"]
    assert site.http.with_token(token).get(f"{V3}/account/whoami").status == 401
    site.clock.advance(3599)
    assert told(site, token).status == 200
    site.clock.advance(1)
    assert (told(site, token).status, told(site, token).errcode) == (401, "M_UNKNOWN_TOKEN")


def test_other_tokens_tell_nobody(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    for token in (anna.token, "nonsense"):
        assert told(site, token).errcode == "M_UNKNOWN_TOKEN"
    reply = Client(site.app.site("federation")).get(USER_INFO)
    assert (reply.status, reply.errcode) == (401, "M_MISSING_TOKEN")


def test_nobody_asks_for_others(site: SyncSite) -> None:
    anna, ben = site.people("anna", "ben")
    assert asked(anna, ben.user_id).errcode == "M_FORBIDDEN"


def test_a_closed_account_is_nobody(site: SyncSite) -> None:
    (anna,) = site.people("anna")
    token = asked(anna, anna.user_id).json["access_token"]
    identifier = {"type": "m.id.user", "user": anna.user_id}
    auth = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    assert anna.here.post(f"{V3}/account/deactivate", {"auth": auth}).status == 200
    assert told(site, token).status == 401


def test_it_works_without_federation(database: Database) -> None:
    site = SyncSite(database, {"federation": {"enabled": False}})
    (anna,) = site.people("anna")
    assert told(site, asked(anna, anna.user_id).json["access_token"]).json == {"sub": anna.user_id}
