"""Who may ask which endpoint: every role that is none, at every endpoint for clients.

CVE-2023-32682 and CVE-2023-41335 let in who had been deactivated.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from homeserver.http.authentication import (
    access_token,
    access_token_or_guest,
    admin_token,
    optional_access_token,
    optional_access_token_or_guest,
)
from homeserver.http.endpoint import BoundEndpoint
from homeserver.protocol.identifiers import UserID
from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.e2ee import V3
from tests.client_api.sync_site import SyncSite
from tests.harness.client import Client, Reply
from tests.harness.endpoint_walk import ask_as_is
from tests.harness.memory import result_of

LIFETIME: Final = "sessions: {access_token_lifetime: 5m}\n"


@pytest.fixture
def site(database: Database) -> SyncSite:
    """A whole server on which guests are let in."""
    return SyncSite(database, {"registration": {"mode": "open", "guests": True}})


def for_members(site: SyncSite) -> Iterator[BoundEndpoint]:
    """The endpoints that are for people with an account."""
    for bound in site.app.endpoints["client"]:
        if bound.endpoint.auth in (access_token, access_token_or_guest, admin_token):
            yield bound


def for_administrators(site: SyncSite) -> list[BoundEndpoint]:
    """The endpoints that are only for administrators."""
    return [bound for bound in site.app.endpoints["client"] if bound.endpoint.auth == admin_token]


def log_in(site: SyncSite, name: str) -> Client:
    """A session of somebody's."""
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": name},
        "password": PASSWORD,
    }
    reply = site.http.post(f"{V3}/login", {**body, "refresh_token": True})
    assert reply.status == 200, reply.text
    return site.http.with_token(reply.json["access_token"])


def logged_out(site: SyncSite) -> Client:
    """Somebody whose session has ended."""
    site.person("anna")
    client = log_in(site, "anna")
    assert client.post(f"{V3}/logout").status == 200
    return client


def logged_out_everywhere(site: SyncSite) -> Client:
    """Somebody all of whose sessions have ended."""
    site.person("anna")
    client = log_in(site, "anna")
    assert log_in(site, "anna").post(f"{V3}/logout/all").status == 200
    return client


def deactivated(site: SyncSite) -> Client:
    """Somebody whose account is no more."""
    anna = site.person("anna")
    proof = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "anna"},
        "password": PASSWORD,
    }
    assert anna.http.post(f"{V3}/account/deactivate", {"auth": proof}).status == 200
    return anna.http


def made_up(site: SyncSite) -> Client:
    """Nobody."""
    return site.http.with_token("syt_nobody_nothing")


def removed_device(site: SyncSite) -> Client:
    """Somebody whose device another one has removed."""
    site.person("anna")
    client = log_in(site, "anna")
    device = client.get(f"{V3}/account/whoami").json["device_id"]
    proof = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "anna"},
        "password": PASSWORD,
    }
    assert log_in(site, "anna").delete(f"{V3}/devices/{device}", {"auth": proof}).status == 200
    return client


def refused(reply: Reply, soft: bool) -> bool:
    return (reply.status, reply.errcode, reply.json.get("soft_logout", False)) == (
        401,
        "M_UNKNOWN_TOKEN",
        soft,
    )


@pytest.mark.parametrize("role", [logged_out, logged_out_everywhere, deactivated, made_up, removed_device])
def test_a_token_that_is_none_any_more_opens_nothing(
    site: SyncSite, role: Callable[[SyncSite], Client]
) -> None:
    client = role(site)
    for bound in for_members(site):
        reply = ask_as_is(client, bound.endpoint)
        assert refused(reply, False), f"{bound.endpoint.paths[0]}: {reply.status} {reply.text}"


def test_an_optional_token_that_is_none_is_no_way_in_either(site: SyncSite) -> None:
    client = logged_out(site)
    for bound in site.app.endpoints["client"]:
        if bound.endpoint.auth in (optional_access_token, optional_access_token_or_guest):
            reply = ask_as_is(client, bound.endpoint)
            assert refused(reply, False), f"{bound.endpoint.paths[0]}: {reply.status} {reply.text}"


def test_a_token_that_has_run_out_asks_to_be_refreshed(site: SyncSite) -> None:
    site.person("anna")
    client = log_in(site, "anna")
    site.clock.advance(3600)
    for bound in for_members(site):
        reply = ask_as_is(client, bound.endpoint)
        assert refused(reply, True), f"{bound.endpoint.paths[0]}: {reply.status} {reply.text}"


def test_a_guest_is_let_in_only_where_guests_may_go(site: SyncSite) -> None:
    guest = site.http.with_token(site.http.post(f"{V3}/register", {}, {"kind": "guest"}).json["access_token"])
    for bound in for_members(site):
        if bound.endpoint.paths[0].endswith(("/logout", "/logout/all")):
            continue
        reply = ask_as_is(guest, bound.endpoint)
        forbidden = reply.status == 403 and reply.errcode == "M_GUEST_ACCESS_FORBIDDEN"
        if bound.endpoint.auth in (access_token, admin_token):
            assert forbidden, f"{bound.endpoint.paths[0]}: {reply.status} {reply.text}"
        else:
            assert reply.status < 500
            assert reply.errcode not in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN")


def test_who_is_no_administrator_administers_nothing(site: SyncSite) -> None:
    anna, bert = site.person("anna").http, site.person("bert")
    result_of(site.app.accounts.moderation.set_suspended(UserID(bert.user_id), True))
    bounds = for_administrators(site)
    assert len(bounds) > 20
    for bound in bounds:
        for client in (anna, bert.http):
            reply = ask_as_is(client, bound.endpoint)
            assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN"), bound.endpoint.paths[0]


def test_an_administrator_is_let_in_everywhere_and_no_longer_than_they_are_one(site: SyncSite) -> None:
    anna = site.person("anna")
    for is_admin in (True, False):
        result_of(site.app.accounts.moderation.set_admin(UserID(anna.user_id), is_admin))
        for bound in for_administrators(site):
            reply = ask_as_is(anna.http, bound.endpoint)
            assert (reply.status == 403) is not is_admin, f"{bound.endpoint.paths[0]}: {reply.text}"
            assert reply.status < 500


def test_a_client_is_no_server_and_a_server_no_client(site: SyncSite) -> None:
    anna = site.person("anna").http
    servers = Client(site.app.site("federation")).with_token(anna.token)
    for bound in site.app.endpoints["federation"]:
        if bound.endpoint.auth.name == "server_signature":
            reply = ask_as_is(servers, bound.endpoint)
            assert (reply.status, reply.errcode) == (401, "M_UNAUTHORIZED"), bound.endpoint.paths[0]
    signed = {"Authorization": 'X-Matrix origin="evil.example",destination="test",key="ed25519:1",sig="x"'}
    for bound in for_members(site):
        reply = ask_as_is(site.http.with_token(None), bound.endpoint, signed)
        assert (reply.status, reply.errcode) == (401, "M_MISSING_TOKEN"), bound.endpoint.paths[0]
