"""https://spec.matrix.org/v1.19/client-server-api/#legacy-api"""

from typing import Any

import bcrypt
import pytest

from homeserver.protocol.identifiers import UserID
from storage.tables.users import Users
from tests.client_api.accounts_site import PASSWORD, AccountsSite
from tests.client_api.conftest import NewSite
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase

LOGIN = "/_matrix/client/v3/login"
WHOAMI = "/_matrix/client/v3/account/whoami"
REFRESH = "/_matrix/client/v3/refresh"


def test_password_is_among_the_flows(site: AccountsSite) -> None:
    assert {"type": "m.login.password"} in site.http.get(LOGIN).json["flows"]


@pytest.mark.parametrize("name", ["@alice:test", "alice", "Alice", "@ALICE:test"])
def test_users_log_in_by_localpart_or_full_id_in_any_case(site: AccountsSite, name: str) -> None:
    site.register("alice")
    reply = site.try_login(name)
    assert reply.status == 200
    assert reply.json["user_id"] == "@alice:test"
    assert reply.json["home_server"] == "test"
    assert reply.json["device_id"]
    assert "refresh_token" not in reply.json
    assert "expires_in_ms" not in reply.json


def test_the_deprecated_user_field_still_names_the_user(site: AccountsSite) -> None:
    site.register("alice")
    body = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
    assert site.http.post(LOGIN, body).json["user_id"] == "@alice:test"


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "wrong horse"), ("nobody", PASSWORD), ("@alice:else", PASSWORD)]
)
def test_wrong_passwords_and_unknown_users_get_the_same_answer(
    site: AccountsSite, name: str, password: str
) -> None:
    site.register("alice")
    reply = site.try_login(name, password)
    assert (reply.status, reply.json) == (
        403,
        {"errcode": "M_FORBIDDEN", "error": "Invalid username or password"},
    )


def test_a_missing_user_costs_as_much_hashing_as_a_wrong_password(new_site: NewSite) -> None:
    site = new_site("passwords: {time_cost: 4, memory: 2MiB}")
    site.register("alice")
    site.hashing.took.clear()
    for _ in range(3):
        site.try_login("nobody")
        site.try_login("alice", "wrong horse")
    missing, wrong = min(site.hashing.took[::2]), min(site.hashing.took[1::2])
    assert len(site.hashing.took) == 6
    assert 0.4 < missing / wrong < 2.5


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        ({}, 400, "M_MISSING_PARAM"),
        ({"type": "m.login.fancy"}, 400, "M_UNKNOWN"),
        ({"type": "m.login.password"}, 400, "M_MISSING_PARAM"),
        ({"type": "m.login.password", "user": "alice"}, 400, "M_MISSING_PARAM"),
        ({"type": "m.login.password", "user": "alice", "password": 1}, 400, "M_BAD_JSON"),
        ({"type": "m.login.password", "identifier": "alice", "password": "x"}, 400, "M_BAD_JSON"),
        ({"type": "m.login.password", "identifier": {}, "password": "x"}, 400, "M_MISSING_PARAM"),
        ({"type": "m.login.password", "identifier": {"type": "m.id.odd"}, "password": "x"}, 400, "M_UNKNOWN"),
        (
            {"type": "m.login.password", "medium": "email", "address": "a@b.c", "password": "x"},
            403,
            "M_FORBIDDEN",
        ),
        ({"type": "m.login.password", "user": "a\0", "password": "x"}, 400, "M_BAD_JSON"),
        ({"type": "m.login.password", "user": "a", "password": "x", "device_id": ""}, 400, "M_INVALID_PARAM"),
    ],
)
def test_malformed_logins(site: AccountsSite, body: dict[str, Any], status: int, errcode: str) -> None:
    reply = site.http.post(LOGIN, body)
    assert (reply.status, reply.errcode) == (status, errcode)


def test_logging_in_as_a_known_device_ends_its_old_tokens(site: AccountsSite) -> None:
    old = site.register("alice", device_id="PHONE", initial_device_display_name="first")
    assert old.http.get(WHOAMI).status == 200
    new = site.login("alice", device_id="PHONE", initial_device_display_name="second")
    gone = old.http.get(WHOAMI)
    assert (gone.status, gone.errcode, gone.json["soft_logout"]) == (401, "M_UNKNOWN_TOKEN", False)
    assert new.http.get("/_matrix/client/v3/devices/PHONE").json["display_name"] == "first"


@pytest.mark.parametrize("token", ["", "x", "mat_abc_123456", "an/invalid/token", "ü"])
def test_tokens_that_are_none_are_refused(site: AccountsSite, token: str) -> None:
    reply = site.http.with_token(token).get(WHOAMI)
    assert reply.status == 401
    assert reply.errcode in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN")


def test_a_request_without_token_is_refused(site: AccountsSite) -> None:
    reply = site.http.get(WHOAMI)
    assert (reply.status, reply.errcode) == (401, "M_MISSING_TOKEN")


def test_tokens_in_the_query_are_taken_only_where_that_is_configured(
    site: AccountsSite, new_site: NewSite
) -> None:
    user = site.register("alice")
    assert site.http.get(WHOAMI, {"access_token": user.token}).errcode == "M_MISSING_TOKEN"
    lenient = new_site("access_tokens_in_query: true")
    assert lenient.http.get(WHOAMI, {"access_token": user.token}).json["user_id"] == "@alice:test"


def test_logging_out_ends_the_session_and_removes_the_device(site: AccountsSite) -> None:
    first = site.register("alice")
    second = site.login("alice")
    assert first.http.post("/_matrix/client/v3/logout", {}).json == {}
    assert first.http.get(WHOAMI).errcode == "M_UNKNOWN_TOKEN"
    devices = second.http.get("/_matrix/client/v3/devices").json["devices"]
    assert [device["device_id"] for device in devices] == [second.device_id]


def test_logging_out_everywhere_ends_all_sessions_of_the_user_alone(site: AccountsSite) -> None:
    users = [site.register("alice"), site.login("alice"), site.register("bob")]
    for user in users:
        user.http.get(WHOAMI)
    users[0].http.post("/_matrix/client/v3/logout/all", {})
    assert [user.http.get(WHOAMI).status for user in users] == [401, 401, 200]


def test_sessions_that_another_process_ended_are_noticed_within_a_minute(
    site: AccountsSite, test_database: TestDatabase
) -> None:
    user = site.register("alice")
    assert user.http.get(WHOAMI).status == 200
    test_database.rows("delete from access_tokens")
    assert user.http.get(WHOAMI).status == 200
    site.clock.advance(60)
    assert user.http.get(WHOAMI).errcode == "M_UNKNOWN_TOKEN"


def test_known_sessions_cost_no_query(site: AccountsSite) -> None:
    user = site.register("alice")
    user.http.get(WHOAMI)
    site.database.close()
    assert user.http.get(WHOAMI).status == 200


def _refreshable(site: AccountsSite) -> dict[str, Any]:
    site.register("alice")
    answer: dict[str, Any] = site.try_login("alice", refresh_token=True).json
    return answer


def _whoami(site: AccountsSite, token: str) -> int:
    return site.http.with_token(token).get(WHOAMI).status


def test_access_tokens_with_a_refresh_token_expire_softly(site: AccountsSite) -> None:
    login = _refreshable(site)
    assert _whoami(site, login["access_token"]) == 200
    site.clock.advance(login["expires_in_ms"] / 1000)
    reply = site.http.with_token(login["access_token"]).get(WHOAMI)
    assert (reply.status, reply.errcode, reply.json["soft_logout"]) == (401, "M_UNKNOWN_TOKEN", True)
    new = site.http.post(REFRESH, {"refresh_token": login["refresh_token"]}).json
    assert set(new) == {"access_token", "refresh_token", "expires_in_ms"}
    assert _whoami(site, new["access_token"]) == 200


def test_an_old_refresh_token_is_good_until_a_new_token_is_used(site: AccountsSite) -> None:
    login = _refreshable(site)
    lost = site.http.post(REFRESH, {"refresh_token": login["refresh_token"]}).json
    new = site.http.post(REFRESH, {"refresh_token": login["refresh_token"]}).json
    assert _whoami(site, login["access_token"]) == 200
    assert _whoami(site, lost["access_token"]) == 401
    assert _whoami(site, new["access_token"]) == 200
    assert _whoami(site, login["access_token"]) == 401
    reply = site.http.post(REFRESH, {"refresh_token": login["refresh_token"]})
    assert (reply.status, reply.errcode) == (401, "M_UNKNOWN_TOKEN")
    assert site.http.post(REFRESH, {"refresh_token": lost["refresh_token"]}).status == 401


def test_using_the_new_refresh_token_ends_the_old_one_too(site: AccountsSite) -> None:
    first = _refreshable(site)
    second = site.http.post(REFRESH, {"refresh_token": first["refresh_token"]}).json
    third = site.http.post(REFRESH, {"refresh_token": second["refresh_token"]}).json
    assert site.http.post(REFRESH, {"refresh_token": first["refresh_token"]}).status == 401
    assert [_whoami(site, pair["access_token"]) for pair in (first, second, third)] == [401, 200, 200]
    assert _whoami(site, second["access_token"]) == 401


def test_refreshed_tokens_stay_with_their_device(site: AccountsSite) -> None:
    login = _refreshable(site)
    new = site.http.post(REFRESH, {"refresh_token": login["refresh_token"]}).json
    whoami = site.http.with_token(new["access_token"]).get(WHOAMI).json
    assert whoami["device_id"] == login["device_id"]


def test_logging_out_ends_the_refresh_token(site: AccountsSite) -> None:
    login = _refreshable(site)
    site.http.with_token(login["access_token"]).post("/_matrix/client/v3/logout")
    assert site.http.post(REFRESH, {"refresh_token": login["refresh_token"]}).status == 401


def test_refresh_tokens_expire_where_that_is_configured(new_site: NewSite) -> None:
    site = new_site("sessions: {refresh_token_lifetime: 2h}")
    login = _refreshable(site)
    site.clock.advance(2 * 3600)
    reply = site.http.post(REFRESH, {"refresh_token": login["refresh_token"]})
    assert (reply.status, reply.json["soft_logout"]) == (401, True)


def test_locked_users_can_only_log_out(site: AccountsSite) -> None:
    user = site.register("alice")
    other = site.login("alice")
    assert user.http.get(WHOAMI).status == 200
    result_of(site.area.moderation.set_locked(UserID(user.user_id), True))
    reply = user.http.get(WHOAMI)
    assert (reply.status, reply.errcode, reply.json["soft_logout"]) == (401, "M_USER_LOCKED", True)
    assert site.try_login("alice").errcode == "M_USER_LOCKED"
    assert other.http.post("/_matrix/client/v3/logout").status == 200
    result_of(site.area.moderation.set_locked(UserID(user.user_id), False))
    assert user.http.get(WHOAMI).status == 200


def test_suspended_users_can_log_in_and_not_change_their_profile(site: AccountsSite) -> None:
    user = site.register("alice")
    user.http.get(WHOAMI)
    result_of(site.area.moderation.set_suspended(UserID(user.user_id), True))
    assert site.try_login("alice").status == 200
    reply = user.http.put("/_matrix/client/v3/profile/@alice:test/displayname", {"displayname": "A"})
    assert (reply.status, reply.errcode) == (403, "M_USER_SUSPENDED")


def test_bcrypt_hashes_are_accepted_and_replaced(site: AccountsSite) -> None:
    site.register("alice")
    old = bcrypt.hashpw(b"imported one", bcrypt.gensalt(4)).decode()

    async def store() -> None:
        await site.database.transact(lambda tx: Users(tx).set_password_hash(UserID("@alice:test"), old))

    result_of(store())
    assert site.try_login("alice", "imported two").status == 403
    assert site.try_login("alice", "imported one").status == 200
    stored = result_of(site.area.accounts.account(UserID("@alice:test"))).password_hash
    assert stored is not None
    assert stored.startswith("$argon2id$")
    assert site.try_login("alice", "imported one").status == 200


def test_hashes_are_renewed_when_costs_change(site: AccountsSite, new_site: NewSite) -> None:
    site.register("alice")
    dearer = new_site("passwords: {time_cost: 2, memory: 8KiB}")
    assert dearer.try_login("alice").status == 200
    stored = result_of(site.area.accounts.account(UserID("@alice:test"))).password_hash
    assert stored is not None
    assert "t=2" in stored
    assert site.try_login("alice").status == 200


def test_composed_and_decomposed_characters_are_the_same_password(site: AccountsSite) -> None:
    site.register("alice", "sch\u00f6n und gut")
    assert site.try_login("alice", "scho\u0308n und gut").status == 200


def test_failures_lock_an_account_for_a_while(new_site: NewSite) -> None:
    site = new_site("rate_limits: {login_failures: {per_second: 0.1, burst: 2}}")
    site.register("alice")
    site.register("bob")
    statuses = [site.try_login("alice", "wrong horse").status for _ in range(3)]
    assert statuses == [403, 403, 429]
    assert site.try_login("alice").status == 429
    assert site.try_login("bob").status == 200
    site.clock.advance(20)
    assert site.try_login("alice").status == 200


def test_attempts_are_limited_by_address(new_site: NewSite) -> None:
    site = new_site("rate_limits: {logins: {per_second: 0.1, burst: 2}}")
    site.register("alice")
    assert [site.try_login("alice").status for _ in range(3)] == [200, 200, 429]
