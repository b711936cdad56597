"""Letting another device log in.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv1loginget_token
"""

from homeserver.protocol.identifiers import UserID
from tests.client_api.accounts_site import AccountsSite, User, password_auth
from tests.harness.client import Reply
from tests.harness.memory import result_of

GET_TOKEN = "/_matrix/client/v1/login/get_token"
LOGIN = "/_matrix/client/v3/login"


def token_of(user: User) -> str:
    reply = user.http.post(GET_TOKEN, {"auth": password_auth(user)})
    assert reply.status == 200, reply.text
    assert reply.json["expires_in_ms"] == 120_000
    return str(reply.json["login_token"])


def by_token(site: AccountsSite, token: object) -> Reply:
    return site.http.post(LOGIN, {"type": "m.login.token", "token": token})


def test_clients_can_see_that_it_is_offered(site: AccountsSite) -> None:
    flows = site.http.get(LOGIN).json["flows"]
    assert {"type": "m.login.token", "get_login_token": True} in flows
    answer = site.register("anna").http.get("/_matrix/client/v3/capabilities").json["capabilities"]
    assert answer["m.get_login_token"] == {"enabled": True}


def test_a_token_logs_another_device_in(site: AccountsSite) -> None:
    anna = site.register("anna")
    reply = by_token(site, token_of(anna))
    assert (reply.status, reply.json["user_id"]) == (200, anna.user_id)
    assert reply.json["device_id"] != anna.device_id
    whoami = site.http.with_token(reply.json["access_token"]).get("/_matrix/client/v3/account/whoami")
    assert whoami.json["user_id"] == anna.user_id


def test_a_token_is_good_once(site: AccountsSite) -> None:
    token = token_of(site.register("anna"))
    assert by_token(site, token).status == 200
    assert (by_token(site, token).status, by_token(site, token).errcode) == (403, "M_FORBIDDEN")


def test_a_token_is_good_for_two_minutes(site: AccountsSite) -> None:
    token = token_of(site.register("anna"))
    site.clock.advance(120)
    assert by_token(site, token).errcode == "M_FORBIDDEN"


def test_each_token_needs_the_password_again(site: AccountsSite) -> None:
    anna = site.register("anna")
    for _ in range(2):
        reply = anna.http.post(GET_TOKEN, {})
        assert reply.status == 401
        assert reply.json["flows"] == [{"stages": ["m.login.password"]}]
        session = reply.json["session"]
        auth = {**password_auth(anna), "session": session}
        assert anna.http.post(GET_TOKEN, {"auth": auth}).status == 200
        assert anna.http.post(GET_TOKEN, {"auth": {"session": session}}).status == 401


def test_other_tokens_log_nobody_in(site: AccountsSite) -> None:
    anna = site.register("anna")
    for token in (anna.token, "nonsense"):
        assert by_token(site, token).errcode == "M_FORBIDDEN"
    assert by_token(site, None).errcode == "M_MISSING_PARAM"


def test_a_locked_account_is_not_logged_in(site: AccountsSite) -> None:
    anna = site.register("anna")
    token = token_of(anna)
    result_of(site.area.moderation.set_locked(UserID(anna.user_id), True))
    assert by_token(site, token).errcode == "M_USER_LOCKED"
