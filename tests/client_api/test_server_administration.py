"""What administrators may do with any client, and that nobody else may."""

import pytest

from homeserver.protocol.identifiers import UserID
from tests.client_api.accounts_site import AccountsSite, User
from tests.harness.memory import result_of

ADMIN = "/_matrix/client/v1/admin"


def admin_of(site: AccountsSite) -> User:
    """A new administrator."""
    admin = site.register("admin")
    result_of(site.area.moderation.set_admin(UserID(admin.user_id), True))
    return admin


@pytest.mark.parametrize(("kind", "field"), [("lock", "locked"), ("suspend", "suspended")])
def test_an_administrator_sees_and_changes_how_an_account_stands(
    site: AccountsSite, kind: str, field: str
) -> None:
    admin, bob = admin_of(site), site.register("bob")
    path = f"{ADMIN}/{kind}/{bob.user_id}"
    assert admin.http.get(path).json == {field: False}
    assert admin.http.put(path, {field: True}).json == {field: True}
    assert admin.http.get(path).json == {field: True}
    assert admin.http.put(path, {field: False}).json == {field: False}
    assert bob.http.get("/_matrix/client/v3/account/whoami").status == 200


def test_who_is_locked_waits_and_comes_back_without_logging_in(site: AccountsSite) -> None:
    admin, bob = admin_of(site), site.register("bob")
    admin.http.put(f"{ADMIN}/lock/{bob.user_id}", {"locked": True})
    reply = bob.http.get("/_matrix/client/v3/account/whoami")
    assert (reply.status, reply.errcode, reply.json["soft_logout"]) == (401, "M_USER_LOCKED", True)
    admin.http.put(f"{ADMIN}/lock/{bob.user_id}", {"locked": False})
    assert bob.http.get("/_matrix/client/v3/account/whoami").status == 200


@pytest.mark.parametrize("kind", ["lock", "suspend"])
def test_others_learn_nothing_of_accounts(site: AccountsSite, kind: str) -> None:
    bob, carol = site.register("bob"), site.register("carol")
    for target in (carol.user_id, "@nobody:test", "@somebody:elsewhere.example"):
        for reply in (
            bob.http.get(f"{ADMIN}/{kind}/{target}"),
            bob.http.put(f"{ADMIN}/{kind}/{target}", {"locked": True, "suspended": True}),
        ):
            assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")
    assert site.http.get(f"{ADMIN}/{kind}/{carol.user_id}").status == 401


@pytest.mark.parametrize("kind", ["lock", "suspend"])
def test_who_cannot_be_moderated_is_told_apart(site: AccountsSite, kind: str) -> None:
    admin = admin_of(site)
    for target, status, errcode in (
        ("@nobody:test", 404, "M_NOT_FOUND"),
        ("@somebody:elsewhere.example", 400, "M_INVALID_PARAM"),
        (admin.user_id, 403, "M_FORBIDDEN"),
    ):
        reply = admin.http.get(f"{ADMIN}/{kind}/{target}")
        assert (reply.status, reply.errcode) == (status, errcode)
        reply = admin.http.put(f"{ADMIN}/{kind}/{target}", {"locked": True, "suspended": True})
        assert (reply.status, reply.errcode) == (status, errcode)


def test_a_closed_account_is_not_found(site: AccountsSite) -> None:
    admin, bob = admin_of(site), site.register("bob")
    result_of(site.area.accounts.deactivate(UserID(bob.user_id), erase=False))
    reply = admin.http.get(f"{ADMIN}/lock/{bob.user_id}")
    assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")


def test_only_administrators_are_told_that_they_can_moderate(site: AccountsSite) -> None:
    admin, bob = admin_of(site), site.register("bob")
    path = "/_matrix/client/v3/capabilities"
    assert admin.http.get(path).json["capabilities"]["m.account_moderation"] == {
        "suspend": True,
        "lock": True,
    }
    assert "m.account_moderation" not in bob.http.get(path).json["capabilities"]


def test_people_see_from_where_they_were_here_and_administrators_see_it_of_all(site: AccountsSite) -> None:
    admin, bob, carol = admin_of(site), site.register("bob"), site.register("carol")
    path = f"/_matrix/client/v3/admin/whois/{bob.user_id}"
    for who in (bob, admin):
        answer = who.http.get(path).json
        assert answer["user_id"] == bob.user_id
        ((device, found),) = answer["devices"].items()
        ((connection,),) = [session["connections"] for session in found["sessions"]]
        assert device == bob.device_id
        assert connection["ip"]
        assert connection["last_seen"] == site.clock.now_ms()
    reply = carol.http.get(path)
    assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")
    assert admin.http.get("/_matrix/client/v3/admin/whois/@nobody:test").errcode == "M_NOT_FOUND"
