"""Registration by shared secret, as the tools that people use do it."""

import hashlib
import hmac
from typing import Any

import pytest

from tests.client_api.accounts_site import PASSWORD, AccountsSite
from tests.client_api.conftest import NewSite
from tests.harness.client import Reply

PATH = "/_synapse/admin/v1/register"


def _register(
    site: AccountsSite, username: str, secret: str = "sesame", nonce: str = "", **more: Any
) -> Reply:
    nonce = nonce or site.http.get(PATH).json["nonce"]
    parts = [nonce, username, PASSWORD, "admin" if more.get("admin") else "notadmin"]
    if "user_type" in more:
        parts.append(more["user_type"])
    mac = hmac.new(secret.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": username, "password": PASSWORD, "mac": mac, **more}
    return site.http.post(PATH, body)


@pytest.mark.parametrize("more", [{}, {"admin": False}, {"admin": True}, {"user_type": "bot"}])
def test_whoever_knows_the_secret_makes_accounts(new_site: NewSite, more: dict[str, Any]) -> None:
    site = new_site("registration: {mode: closed, shared_secret: sesame}")
    reply = _register(site, "Alice", **more)
    assert reply.status == 200, reply.text
    assert reply.json["user_id"] == "@alice:test"
    assert reply.json["home_server"] == "test"
    whoami = site.http.with_token(reply.json["access_token"]).get("/_matrix/client/v3/account/whoami").json
    assert whoami["device_id"] == reply.json["device_id"]
    assert site.try_login("alice").status == 200


def test_a_wrong_secret_makes_none(site: AccountsSite) -> None:
    reply = _register(site, "alice", "open sesame")
    assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")
    assert site.try_login("alice").status == 403


def test_the_mac_covers_whether_it_is_an_administrator(site: AccountsSite) -> None:
    nonce = site.http.get(PATH).json["nonce"]
    mac = hmac.new(b"sesame", f"{nonce}\0alice\0{PASSWORD}\0notadmin".encode(), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": "alice", "password": PASSWORD, "mac": mac, "admin": True}
    assert site.http.post(PATH, body).status == 403


def test_a_nonce_is_good_once_and_for_a_minute(site: AccountsSite) -> None:
    nonce = site.http.get(PATH).json["nonce"]
    assert _register(site, "alice", nonce=nonce).status == 200
    assert _register(site, "bob", nonce=nonce).errcode == "M_UNKNOWN"
    late = site.http.get(PATH).json["nonce"]
    site.clock.advance(61)
    assert _register(site, "bob", nonce=late).errcode == "M_UNKNOWN"
    assert _register(site, "bob", nonce="invented").errcode == "M_UNKNOWN"


def test_names_are_held_to_the_grammar(site: AccountsSite) -> None:
    assert _register(site, "us,er").errcode == "M_INVALID_USERNAME"
    assert _register(site, "alice").status == 200
    assert _register(site, "alice").errcode == "M_USER_IN_USE"


def test_without_a_secret_there_is_no_such_way(new_site: NewSite) -> None:
    site = new_site("registration: {mode: open}")
    for reply in (site.http.get(PATH), _register(site, "alice", nonce="x")):
        assert (reply.status, reply.errcode) == (400, "M_UNKNOWN")
