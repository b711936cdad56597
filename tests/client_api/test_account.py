"""https://spec.matrix.org/v1.19/client-server-api/#account-management"""

from typing import Any

import pytest

from homeserver.protocol.identifiers import UserID
from tests.client_api.accounts_site import AccountsSite, User, password_auth
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase

CHANGE = "/_matrix/client/v3/account/password"
DEACTIVATE = "/_matrix/client/v3/account/deactivate"
WHOAMI = "/_matrix/client/v3/account/whoami"
NEW = "battery staple"


def _change(user: User, **more: Any) -> int:
    return user.http.post(CHANGE, {"new_password": NEW, "auth": password_auth(user), **more}).status


def test_a_changed_password_replaces_the_old_one(site: AccountsSite) -> None:
    user = site.register("alice")
    assert _change(user) == 200
    assert site.try_login("alice").status == 403
    assert site.try_login("alice", NEW).status == 200


def test_changing_the_password_ends_other_sessions_unless_they_are_kept(site: AccountsSite) -> None:
    user = site.register("alice")
    kept = site.login("alice")
    assert _change(user, logout_devices=False) == 200
    assert [user.http.get(WHOAMI).status, kept.http.get(WHOAMI).status] == [200, 200]
    body = {"new_password": "third time", "auth": password_auth(user, NEW)}
    assert user.http.post(CHANGE, body).status == 200
    assert [user.http.get(WHOAMI).status, kept.http.get(WHOAMI).status] == [200, 401]
    assert len(user.http.get("/_matrix/client/v3/devices").json["devices"]) == 1


def test_changing_the_password_takes_the_old_one(site: AccountsSite) -> None:
    user = site.register("alice")
    offered = user.http.post(CHANGE, {"new_password": NEW})
    assert offered.status == 401
    assert offered.json["flows"] == [{"stages": ["m.login.password"]}]
    auth = password_auth(user, session=offered.json["session"])
    assert user.http.post(CHANGE, {"auth": auth}).json == {}
    assert site.try_login("alice", NEW).status == 200


def test_a_new_password_is_held_to_the_policy(site: AccountsSite) -> None:
    user = site.register("alice")
    reply = user.http.post(CHANGE, {"new_password": "short", "auth": password_auth(user)})
    assert (reply.status, reply.errcode) == (400, "M_WEAK_PASSWORD")
    assert user.http.post(CHANGE, {}).errcode == "M_MISSING_PARAM"
    assert user.http.post(CHANGE, {"new_password": 1, "auth": password_auth(user)}).errcode == "M_BAD_JSON"


def test_whoever_lost_all_sessions_changes_the_password_by_knowing_it(site: AccountsSite) -> None:
    user = site.register("alice")
    offered = site.http.post(CHANGE, {"new_password": NEW})
    assert offered.status == 401
    auth = password_auth(user, session=offered.json["session"])
    assert site.http.post(CHANGE, {"new_password": NEW, "auth": auth}).status == 200
    assert user.http.get(WHOAMI).status == 401
    assert site.try_login("alice", NEW).status == 200


def test_a_bad_token_is_not_the_same_as_none(site: AccountsSite) -> None:
    reply = site.http.with_token("nonsense").post(CHANGE, {"new_password": NEW})
    assert (reply.status, reply.errcode) == (401, "M_UNKNOWN_TOKEN")


def test_a_deactivated_account_is_gone_for_good(site: AccountsSite) -> None:
    user = site.register("alice")
    other = site.login("alice")
    other.http.get(WHOAMI)
    user.http.put("/_matrix/client/v3/profile/@alice:test/displayname", {"displayname": "Alice"})
    reply = user.http.post(DEACTIVATE, {"auth": password_auth(user)})
    assert reply.json == {"id_server_unbind_result": "success"}
    assert [user.http.get(WHOAMI).status, other.http.get(WHOAMI).status] == [401, 401]
    assert site.try_login("alice").errcode in ("M_FORBIDDEN", "M_USER_DEACTIVATED")
    assert site.http.get("/_matrix/client/v3/profile/@alice:test").status == 404


def test_deactivating_takes_the_password(site: AccountsSite) -> None:
    user = site.register("alice")
    reply = user.http.post(DEACTIVATE, {"auth": password_auth(user, "wrong horse")})
    assert (reply.status, reply.errcode) == (401, "M_FORBIDDEN")
    assert {"error", "errcode", "params", "completed", "flows"} <= set(reply.json)
    assert user.http.get(WHOAMI).status == 200


@pytest.mark.parametrize("erase", [True, False])
def test_erasure_is_remembered_and_takes_the_account_data(
    site: AccountsSite, test_database: TestDatabase, erase: bool
) -> None:
    user = site.register("alice")
    user.http.put("/_matrix/client/v3/user/@alice:test/account_data/a.b", {"x": 1})
    user.http.post(DEACTIVATE, {"erase": erase, "auth": password_auth(user)})
    account = result_of(site.area.accounts.account(UserID("@alice:test")))
    assert (account.deactivated, account.erased, account.password_hash) == (True, erase, None)
    assert len(test_database.rows("select 1 from account_data")) == (0 if erase else 1)


def test_rooms_are_told_of_a_deactivation_until_they_have_done_their_part(site: AccountsSite) -> None:
    told: list[str] = []
    broken = [True]

    async def depart(user_id: UserID) -> None:
        told.append(user_id)
        if broken:
            raise RuntimeError("no rooms today")

    site.area.accounts.when_deactivated(depart)
    user = site.register("alice")
    assert user.http.post(DEACTIVATE, {"auth": password_auth(user)}).status == 200
    assert told == ["@alice:test"]
    broken.clear()
    site.area.upkeep.start()
    site.clock.advance(1200)
    assert told == ["@alice:test", "@alice:test"]


def test_upkeep_forgets_expired_sessions_and_writes_last_seen_in_the_end(
    site: AccountsSite, test_database: TestDatabase
) -> None:
    user = site.register("alice")
    site.area.upkeep.start()
    user.http.post(CHANGE, {"new_password": NEW})
    assert len(test_database.rows("select 1 from ui_auth_sessions")) == 1
    site.clock.advance(2 * 3600)
    assert test_database.rows("select 1 from ui_auth_sessions") == []
    user.http.get(WHOAMI)
    result_of(site.area.upkeep.stop())
    assert test_database.rows("select last_seen_ts from devices") == [(site.clock.now_ms(),)]
    user.http.post(CHANGE, {"new_password": NEW})
    site.clock.advance(2 * 3600)
    assert len(test_database.rows("select 1 from ui_auth_sessions")) == 1
