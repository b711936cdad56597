"""https://spec.matrix.org/v1.19/client-server-api/#legacy-account-registration"""

import pytest

from homeserver.protocol.identifiers import UserID
from storage.tables.registration_tokens import RegistrationTokens
from storage.tables.users import Users
from tests.client_api.accounts_site import PASSWORD, AccountsSite
from tests.client_api.conftest import NewSite
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase

REGISTER = "/_matrix/client/v3/register"
DUMMY = {"type": "m.login.dummy"}


def test_a_request_without_auth_is_told_the_flows(site: AccountsSite) -> None:
    reply = site.http.post(REGISTER, {})
    assert reply.status == 401
    assert reply.json["flows"] == [{"stages": ["m.login.dummy"]}]
    assert reply.json["completed"] == []
    assert reply.json["params"] == {}
    assert reply.json["session"]
    assert "errcode" not in reply.json


def test_dummy_auth_registers_in_one_request_without_a_session(site: AccountsSite) -> None:
    user = site.register("alice", device_id="PHONE")
    assert (user.user_id, user.device_id) == ("@alice:test", "PHONE")
    assert user.http.get("/_matrix/client/v3/account/whoami").json == {
        "user_id": "@alice:test",
        "device_id": "PHONE",
        "is_guest": False,
    }


def test_a_session_remembers_the_parameters_of_the_registration(site: AccountsSite) -> None:
    wishes = {
        "username": "alice",
        "password": PASSWORD,
        "device_id": "PHONE",
        "initial_device_display_name": "p",
    }
    session = site.http.post(REGISTER, wishes).json["session"]
    reply = site.http.post(REGISTER, {"auth": {**DUMMY, "session": session}})
    assert (reply.json["user_id"], reply.json["device_id"]) == ("@alice:test", "PHONE")
    http = site.http.with_token(reply.json["access_token"])
    assert http.get("/_matrix/client/v3/devices/PHONE").json["display_name"] == "p"


def test_a_session_started_without_parameters_takes_them_later(site: AccountsSite) -> None:
    session = site.http.post(REGISTER, {}).json["session"]
    body = {"username": "alice", "password": PASSWORD, "auth": {**DUMMY, "session": session}}
    assert site.http.post(REGISTER, body).json["user_id"] == "@alice:test"


@pytest.mark.parametrize("wishes", [{}, {"username": "alice"}])
def test_repeating_a_registration_gives_the_same_user(site: AccountsSite, wishes: dict[str, str]) -> None:
    wishes = {**wishes, "password": PASSWORD}
    session = site.http.post(REGISTER, wishes).json["session"]
    body = {**wishes, "auth": {**DUMMY, "session": session}}
    first, second = site.http.post(REGISTER, body), site.http.post(REGISTER, body)
    assert (first.status, second.status) == (200, 200)
    assert first.json["user_id"] == second.json["user_id"]
    assert first.json["access_token"] != second.json["access_token"]


def test_an_expired_session_is_a_new_one(site: AccountsSite) -> None:
    session = site.http.post(REGISTER, {"username": "alice", "password": PASSWORD}).json["session"]
    site.clock.advance(3601)
    reply = site.http.post(REGISTER, {"auth": {"session": session}})
    assert reply.status == 401
    assert reply.json["session"] != session


def test_passwords_are_not_kept_in_the_clear(site: AccountsSite, test_database: TestDatabase) -> None:
    site.http.post(REGISTER, {"username": "alice", "password": PASSWORD})
    site.register("bob")
    sessions = test_database.rows("select encode(body, 'escape') from ui_auth_sessions")
    users = test_database.rows("select password_hash from users")
    assert (len(sessions), len(users)) == (1, 1)
    assert PASSWORD not in f"{sessions} {users}"


def test_no_access_token_comes_of_a_registration_that_inhibits_login(site: AccountsSite) -> None:
    body = {"username": "alice", "password": PASSWORD, "inhibit_login": True, "auth": DUMMY}
    reply = site.http.post(REGISTER, body)
    assert reply.json == {"user_id": "@alice:test", "home_server": "test"}
    assert site.try_login("alice").status == 200


def test_a_user_without_a_name_gets_one(site: AccountsSite) -> None:
    reply = site.http.post(REGISTER, {"password": PASSWORD, "auth": DUMMY})
    assert reply.status == 200
    assert reply.json["user_id"].startswith("@")
    assert reply.json["user_id"] == reply.json["user_id"].lower()


def test_capitals_in_user_names_are_lowered(site: AccountsSite) -> None:
    assert site.register("ALICE").user_id == "@alice:test"


@pytest.mark.parametrize("name", [*'!":?@[]{|}£é\n', "", "_bridge", "x" * 300, "\0"])
def test_names_outside_the_grammar_are_refused_before_authentication(site: AccountsSite, name: str) -> None:
    reply = site.http.post(REGISTER, {"username": name, "password": PASSWORD})
    assert reply.status == 400
    assert reply.errcode in ("M_INVALID_USERNAME", "M_INVALID_PARAM")


def test_a_taken_name_is_refused_before_authentication_and_in_any_case(site: AccountsSite) -> None:
    site.register("alice")
    for name in ("alice", "Alice"):
        reply = site.http.post(REGISTER, {"username": name, "password": PASSWORD})
        assert (reply.status, reply.errcode) == (400, "M_USER_IN_USE")


def test_a_name_taken_meanwhile_is_refused_in_the_end(site: AccountsSite) -> None:
    wishes = {"username": "alice", "password": PASSWORD}
    session = site.http.post(REGISTER, wishes).json["session"]
    site.register("alice")
    reply = site.http.post(REGISTER, {**wishes, "auth": {**DUMMY, "session": session}})
    assert (reply.status, reply.errcode) == (400, "M_USER_IN_USE")


def test_weak_and_missing_passwords_are_refused(site: AccountsSite) -> None:
    weak = site.http.post(REGISTER, {"username": "alice", "password": "short"})
    assert (weak.status, weak.errcode) == (400, "M_WEAK_PASSWORD")
    missing = site.http.post(REGISTER, {"username": "alice", "auth": DUMMY})
    assert (missing.status, missing.errcode) == (400, "M_MISSING_PARAM")


def test_an_unknown_stage_is_no_way_in(site: AccountsSite) -> None:
    reply = site.http.post(
        REGISTER, {"username": "alice", "password": PASSWORD, "auth": {"type": "m.login.password"}}
    )
    assert (reply.status, reply.errcode) == (401, "M_FORBIDDEN")
    assert reply.json["flows"]


@pytest.mark.parametrize("body", [{"username": 1}, {"auth": 1}, {"auth": DUMMY, "password": {}}])
def test_ill_typed_bodies_are_bad_json(site: AccountsSite, body: dict[str, object]) -> None:
    assert site.http.post(REGISTER, body).errcode == "M_BAD_JSON"


def test_guests_are_let_in_only_where_that_is_configured(site: AccountsSite, new_site: NewSite) -> None:
    reply = site.http.post(REGISTER, {}, query={"kind": "guest"})
    assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")
    open_site = new_site("registration: {mode: closed, guests: true}")
    wishes = {"username": "ignored", "device_id": "IGNORED", "initial_device_display_name": "visitor"}
    reply = open_site.http.post(REGISTER, wishes, query={"kind": "guest"})
    assert reply.status == 200, reply.text
    guest = open_site.http.with_token(reply.json["access_token"])
    whoami = guest.get("/_matrix/client/v3/account/whoami").json
    assert whoami == {
        "user_id": reply.json["user_id"],
        "device_id": reply.json["device_id"],
        "is_guest": True,
    }
    assert not whoami["user_id"].startswith("@ignored")
    assert guest.get("/_matrix/client/v3/pushrules/").errcode == "M_GUEST_ACCESS_FORBIDDEN"
    assert guest.get("/_matrix/client/v3/devices").json["devices"][0]["display_name"] == "visitor"
    profile = f"/_matrix/client/v3/profile/{whoami['user_id']}"
    assert guest.put(f"{profile}/displayname", {"displayname": "Visitor"}).status == 200
    refused = guest.put(f"{profile}/avatar_url", {"avatar_url": "mxc://a/b"})
    assert refused.errcode == "M_GUEST_ACCESS_FORBIDDEN"


def test_a_refresh_token_comes_with_a_registration_that_asks_for_it(site: AccountsSite) -> None:
    body = {"username": "alice", "password": PASSWORD, "refresh_token": True, "auth": DUMMY}
    reply = site.http.post(REGISTER, body).json
    assert reply["expires_in_ms"] == 3_600_000
    assert (
        site.http.post("/_matrix/client/v3/refresh", {"refresh_token": reply["refresh_token"]}).status == 200
    )


def test_availability_of_names(site: AccountsSite) -> None:
    site.register("alice")
    path = f"{REGISTER}/available"
    assert site.http.get(path, {"username": "bob"}).json == {"available": True}
    assert site.http.get(path, {"username": "alice"}).errcode == "M_USER_IN_USE"
    assert site.http.get(path, {"username": "a b"}).errcode == "M_INVALID_USERNAME"
    assert site.http.get(path).errcode == "M_MISSING_PARAM"


def test_names_of_deactivated_users_are_never_given_again(site: AccountsSite) -> None:
    user = site.register("alice")
    result_of(site.area.accounts.deactivate(UserID(user.user_id), erase=False))
    assert site.http.post(REGISTER, {"username": "alice", "password": PASSWORD}).errcode == "M_USER_IN_USE"


def test_nobody_registers_where_registration_is_closed(new_site: NewSite) -> None:
    site = new_site("registration: {mode: closed}")
    for reply in (
        site.http.post(REGISTER, {}),
        site.http.get(f"{REGISTER}/available", {"username": "bob"}),
        site.http.get("/_matrix/client/v1/register/m.login.registration_token/validity", {"token": "x"}),
    ):
        assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")


def _token(site: AccountsSite, token: str, uses: int | None, expires_ts: int | None = None) -> None:
    async def create() -> None:
        await site.database.transact(lambda tx: RegistrationTokens(tx).create(token, uses, expires_ts, 0))

    result_of(create())


def test_a_registration_token_lets_as_many_in_as_it_says(new_site: NewSite) -> None:
    site = new_site("registration: {mode: token}")
    _token(site, "once", 1)
    validity = "/_matrix/client/v1/register/m.login.registration_token/validity"
    assert site.http.get(validity, {"token": "once"}).json == {"valid": True}
    wishes = {"username": "alice", "password": PASSWORD}
    offered = site.http.post(REGISTER, wishes)
    assert offered.json["flows"] == [{"stages": ["m.login.registration_token"]}]
    session = offered.json["session"]
    refused = site.http.post(
        REGISTER, {"auth": {"type": "m.login.registration_token", "token": "no", "session": session}}
    )
    assert (refused.status, refused.errcode) == (401, "M_UNAUTHORIZED")
    assert refused.json["session"] == session
    auth = {"type": "m.login.registration_token", "token": "once", "session": session}
    assert site.http.post(REGISTER, {"auth": auth}).json["user_id"] == "@alice:test"
    assert site.http.get(validity, {"token": "once"}).json == {"valid": False}
    late = site.http.post(
        REGISTER,
        {**wishes, "username": "bob", "auth": {"type": "m.login.registration_token", "token": "once"}},
    )
    assert late.status == 401
    assert result_of(_account(site, "@bob:test")) is None


async def _account(site: AccountsSite, user_id: str) -> object:
    return await site.database.read(lambda tx: Users(tx).account(UserID(user_id)))


def test_registration_tokens_expire(new_site: NewSite) -> None:
    site = new_site("registration: {mode: token}")
    _token(site, "soon", None, site.clock.now_ms() + 1000)
    validity = "/_matrix/client/v1/register/m.login.registration_token/validity"
    assert site.http.get(validity, {"token": "soon"}).json == {"valid": True}
    site.clock.advance(1)
    assert site.http.get(validity, {"token": "soon"}).json == {"valid": False}


def test_registrations_are_limited_by_address(new_site: NewSite) -> None:
    site = new_site("rate_limits: {registration: {per_second: 0.1, burst: 2}}")
    statuses = [site.http.post(REGISTER, {}).status for _ in range(3)]
    assert statuses == [401, 401, 429]


def test_the_same_registration_sent_twice_at_once_makes_one_account(busy_site: AccountsSite) -> None:
    wishes = {"username": "alice", "password": PASSWORD}
    session = busy_site.http.post(REGISTER, wishes).json["session"]
    body = {**wishes, "auth": {**DUMMY, "session": session}}
    pending = [busy_site.http.start("POST", REGISTER, body) for _ in range(2)]
    busy_site.finish(pending)
    assert [each.reply.status for each in pending] == [200, 200]
    assert {each.reply.json["user_id"] for each in pending} == {"@alice:test"}
    tokens = {each.reply.json["access_token"] for each in pending}
    assert len(tokens) == 2


def test_of_two_who_want_a_name_at_once_one_gets_it(busy_site: AccountsSite) -> None:
    bodies = [{"username": name, "password": PASSWORD, "auth": DUMMY} for name in ("alice", "ALICE")]
    pending = [busy_site.http.start("POST", REGISTER, body) for body in bodies]
    busy_site.finish(pending)
    assert sorted(each.reply.status for each in pending) == [200, 400]
    assert {each.reply.errcode for each in pending if each.reply.status == 400} == {"M_USER_IN_USE"}
