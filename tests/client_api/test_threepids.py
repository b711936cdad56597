"""E-mail addresses of users: adding them, registering with one, and setting a new password with one.

https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information
"""

import re
from typing import Any

import pytest

from homeserver.gateways.mail import MailFailed
from storage.database import Database
from tests.client_api.accounts_site import PASSWORD, AccountsSite, User, password_auth
from tests.client_api.mail_site import ADDRESS, Letterbox
from tests.harness.client import Reply

V3 = "/_matrix/client/v3"


@pytest.fixture
def box() -> Letterbox:
    return Letterbox()


@pytest.fixture
def site(database: Database, box: Letterbox) -> AccountsSite:
    return AccountsSite(database, "mail: {host: unused}", mailer=box)


def asked(
    site: AccountsSite, what: str, address: str = ADDRESS, attempt: int = 1, secret: str = "s3cret"
) -> Reply:
    body = {"client_secret": secret, "email": address, "send_attempt": attempt}
    return site.http.post(f"{V3}/{what}/email/requestToken", body)


def confirmed(site: AccountsSite, box: Letterbox, what: str, address: str = ADDRESS) -> dict[str, str]:
    """Ask for a mail, follow its link and press the button; what proves it."""
    reply = asked(site, what, address)
    assert reply.status == 200, reply.text
    assert site.http.post(box.link(), b"").status == 200
    return {"sid": reply.json["sid"], "client_secret": "s3cret"}


def added(user: User, proof: dict[str, str]) -> Reply:
    return user.http.post(f"{V3}/account/3pid/add", {**proof, "auth": password_auth(user)})


def addresses(user: User) -> list[str]:
    return [each["address"] for each in user.http.get(f"{V3}/account/3pid").json["threepids"]]


def email_auth(proof: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"type": "m.login.email.identity", "threepid_creds": proof, **more}


def test_an_address_is_added_once_it_is_confirmed(site: AccountsSite, box: Letterbox) -> None:
    anna = site.register("anna")
    reply = asked(site, "account/3pid", "Anna@Post.Example")
    proof = {"sid": reply.json["sid"], "client_secret": "s3cret"}
    assert box.mails[0].to == ADDRESS
    page = site.http.get(box.link())
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert added(anna, proof).errcode == "M_THREEPID_AUTH_FAILED", "a look at the page is no confirmation"
    assert site.http.post(box.link(), b"").status == 200
    assert added(anna, proof).status == 200
    (found,) = anna.http.get(f"{V3}/account/3pid").json["threepids"]
    assert (found["medium"], found["address"]) == ("email", ADDRESS)
    body = {"medium": "email", "address": ADDRESS}
    reply = anna.http.post(f"{V3}/account/3pid/delete", body)
    assert reply.json == {"id_server_unbind_result": "no-support"}
    assert addresses(anna) == []


def test_a_proof_is_good_once_for_one_purpose_and_one_client(site: AccountsSite, box: Letterbox) -> None:
    anna, ben = site.register("anna"), site.register("ben")
    proof = confirmed(site, box, "account/3pid")
    assert added(anna, {**proof, "client_secret": "guess"}).status == 403
    assert added(anna, proof).status == 200
    assert added(ben, proof).errcode == "M_THREEPID_AUTH_FAILED"
    body = {"username": "carl", "password": PASSWORD, "auth": email_auth(proof)}
    assert site.http.post(f"{V3}/register", body).status == 401


def test_adding_needs_the_password(site: AccountsSite, box: Letterbox) -> None:
    anna = site.register("anna")
    proof = confirmed(site, box, "account/3pid")
    reply = anna.http.post(f"{V3}/account/3pid/add", proof)
    assert (reply.status, reply.json["flows"]) == (401, [{"stages": ["m.login.password"]}])
    assert addresses(anna) == []


def test_an_address_belongs_to_one_account(site: AccountsSite, box: Letterbox) -> None:
    anna, ben = site.register("anna"), site.register("ben")
    first, second = (confirmed(site, box, "account/3pid", a) for a in (ADDRESS, ADDRESS.upper()))
    assert added(anna, first).status == 200
    assert added(ben, second).status in (400, 403)
    assert addresses(ben) == []
    assert asked(site, "account/3pid").errcode == "M_THREEPID_IN_USE"
    assert asked(site, "register").errcode == "M_THREEPID_IN_USE"


def test_asking_again_sends_again_only_if_the_client_says_so(site: AccountsSite, box: Letterbox) -> None:
    sids = {asked(site, "register", attempt=attempt).json["sid"] for attempt in (1, 1, 2, 2, 1)}
    assert (len(sids), len(box.mails)) == (1, 2)
    first_link, last_link = (re.search(r"/_mer\S+", mail.text) for mail in box.mails)
    assert first_link is not None
    assert last_link is not None
    assert site.http.post(first_link[0], b"").status == 400, "the last mail counts"
    assert site.http.post(last_link[0], b"").status == 200


def test_nobody_is_flooded_with_mails(site: AccountsSite, box: Letterbox) -> None:
    replies = [asked(site, "register", secret=f"s{number}") for number in range(6)]
    assert [reply.status for reply in replies] == [200] * 5 + [429]
    assert len(box.mails) == 5
    site.clock.advance(3600)
    assert asked(site, "register", secret="later").status == 200


@pytest.mark.parametrize(
    "address", ["anna", "a@b@c", "a b@c.d", "a\r\nBcc: x@y.z", "<a@b.c>", "ü@b.c", "@b.c", "a@"]
)
def test_what_is_no_address_is_refused(site: AccountsSite, box: Letterbox, address: str) -> None:
    assert asked(site, "register", address).errcode == "M_INVALID_PARAM"
    assert box.mails == []


def test_people_register_with_an_address_if_they_like(site: AccountsSite, box: Letterbox) -> None:
    reply = site.http.post(f"{V3}/register", {"username": "anna", "password": PASSWORD})
    assert [flow["stages"] for flow in reply.json["flows"]] == [["m.login.dummy"], ["m.login.email.identity"]]
    auth = email_auth(confirmed(site, box, "register"), session=reply.json["session"])
    reply = site.http.post(f"{V3}/register", {"username": "anna", "password": PASSWORD, "auth": auth})
    assert reply.status == 200, reply.text
    assert addresses(User(site, reply.json)) == [ADDRESS]


def test_an_address_may_be_needed(database: Database, box: Letterbox) -> None:
    site = AccountsSite(database, "mail: {host: unused, required_for_registration: true}", mailer=box)
    body = {"username": "anna", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    reply = site.http.post(f"{V3}/register", body)
    assert reply.status == 401
    assert [flow["stages"] for flow in reply.json["flows"]] == [["m.login.email.identity"]]


def test_who_reads_the_mails_sets_a_new_password(site: AccountsSite, box: Letterbox) -> None:
    anna = site.register("anna")
    assert asked(site, "account/password").errcode == "M_THREEPID_NOT_FOUND"
    assert added(anna, confirmed(site, box, "account/3pid")).status == 200
    auth = email_auth(confirmed(site, box, "account/password"))
    reply = site.http.post(f"{V3}/account/password", {"new_password": "battery staple", "auth": auth})
    assert reply.status == 200, reply.text
    assert site.try_login("anna").status == 403
    assert site.try_login("anna", "battery staple").status == 200
    assert anna.http.get(f"{V3}/account/whoami").status == 401
    again = site.http.post(f"{V3}/account/password", {"new_password": "another one", "auth": auth})
    assert again.status == 401


def test_the_address_of_another_does_not_help(site: AccountsSite, box: Letterbox) -> None:
    anna, ben = site.register("anna"), site.register("ben")
    assert added(anna, confirmed(site, box, "account/3pid")).status == 200
    auth = email_auth(confirmed(site, box, "account/password"))
    reply = ben.http.post(f"{V3}/account/password", {"new_password": "battery staple", "auth": auth})
    assert reply.status == 401
    assert site.try_login("anna").status == 200


def test_an_address_closes_no_account(site: AccountsSite, box: Letterbox) -> None:
    anna = site.register("anna")
    assert added(anna, confirmed(site, box, "account/3pid")).status == 200
    auth = email_auth(confirmed(site, box, "account/password"))
    assert site.http.post(f"{V3}/account/deactivate", {"auth": auth}).status == 401


def test_a_closed_account_gives_its_address_free(site: AccountsSite, box: Letterbox) -> None:
    anna = site.register("anna")
    assert added(anna, confirmed(site, box, "account/3pid")).status == 200
    assert anna.http.post(f"{V3}/account/deactivate", {"auth": password_auth(anna)}).status == 200
    assert asked(site, "register", secret="new").status == 200


def test_a_mail_server_that_is_broken_is_no_success(site: AccountsSite, box: Letterbox) -> None:
    box.failure = MailFailed("550 no", permanent=True)
    assert asked(site, "register").status == 502


def test_a_confirmation_is_good_for_a_day(site: AccountsSite, box: Letterbox) -> None:
    anna = site.register("anna")
    proof = confirmed(site, box, "account/3pid")
    site.clock.advance(24 * 3600)
    assert added(anna, proof).status == 403
    assert site.http.post(box.link(), b"").status == 400


def test_without_a_mail_server_there_is_none_of_this(database: Database) -> None:
    site = AccountsSite(database)
    anna = site.register("anna")
    assert asked(site, "register").errcode == "M_INVALID_PARAM"
    assert addresses(anna) == []
    capabilities = anna.http.get(f"{V3}/capabilities").json["capabilities"]
    assert capabilities["m.3pid_changes"] == {"enabled": False}
    reply = site.http.post(f"{V3}/account/password", {"new_password": "battery staple"})
    assert [flow["stages"] for flow in reply.json["flows"]] == [["m.login.password"]]


def test_phone_numbers_are_refused(site: AccountsSite) -> None:
    body = {"client_secret": "s", "country": "GB", "phone_number": "1", "send_attempt": 1}
    reply = site.http.post(f"{V3}/register/msisdn/requestToken", body)
    assert (reply.status, reply.errcode) == (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")


def test_somebody_logs_in_by_an_address(site: AccountsSite, box: Letterbox) -> None:
    anna = site.register("anna")
    assert added(anna, confirmed(site, box, "account/3pid")).status == 200
    mail = {"medium": "email", "address": ADDRESS.upper()}
    for given in ({"identifier": {"type": "m.id.thirdparty", **mail}}, mail):
        reply = site.http.post(f"{V3}/login", {"type": "m.login.password", "password": PASSWORD, **given})
        assert (reply.status, reply.json["user_id"]) == (200, anna.user_id)
    for other in ({**mail, "medium": "msisdn"}, {**mail, "address": "eve@post.example"}):
        identifier = {"type": "m.id.thirdparty", **other}
        body = {"type": "m.login.password", "password": PASSWORD, "identifier": identifier}
        assert site.http.post(f"{V3}/login", body).errcode == "M_FORBIDDEN"
    body = {
        "type": "m.login.password",
        "password": "wrong",
        "identifier": {"type": "m.id.thirdparty", **mail},
    }
    assert site.http.post(f"{V3}/login", body).errcode == "M_FORBIDDEN"
    body["identifier"] = {"type": "m.id.thirdparty", "medium": "email"}
    assert site.http.post(f"{V3}/login", body).errcode == "M_MISSING_PARAM"


def test_older_clients_add_addresses_by_the_same_proofs(site: AccountsSite, box: Letterbox) -> None:
    anna = site.register("anna")
    proof = confirmed(site, box, "account/3pid")
    body = {"three_pid_creds": {**proof, "id_server": "is.example", "id_access_token": "x"}}
    assert anna.http.post(f"{V3}/account/3pid", body).status == 401, "a stolen token adds no address"
    assert anna.http.post(f"{V3}/account/3pid", {**body, "auth": password_auth(anna)}).status == 200
    assert addresses(anna) == [ADDRESS]
    assert anna.http.post(f"{V3}/account/3pid", {}).errcode == "M_MISSING_PARAM"


def test_nothing_is_bound_to_identity_servers(site: AccountsSite) -> None:
    anna = site.register("anna")
    body = {"client_secret": "x", "sid": "y", "id_server": "is.example", "id_access_token": "z"}
    assert anna.http.post(f"{V3}/account/3pid/bind", body).errcode == "M_THREEPID_DENIED"
    reply = anna.http.post(f"{V3}/account/3pid/unbind", {"medium": "email", "address": ADDRESS})
    assert reply.json == {"id_server_unbind_result": "no-support"}


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "file:///etc/passwd", "https://", "/here", "http://[x"]
)
def test_a_next_link_is_the_address_of_a_web_page(site: AccountsSite, box: Letterbox, link: str) -> None:
    body = {"client_secret": "s3cret", "email": ADDRESS, "send_attempt": 1}
    path = f"{V3}/account/3pid/email/requestToken"
    assert site.http.post(path, {**body, "next_link": link}).errcode == "M_INVALID_PARAM"
    assert box.mails == []
    assert site.http.post(path, {**body, "next_link": "https://app.example/done?x=1"}).status == 200
