"""https://spec.matrix.org/v1.19/client-server-api/#profiles"""

from typing import Any

import pytest

from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from tests.client_api.accounts_site import AccountsSite

PROFILE = "/_matrix/client/v3/profile/@alice:test"
NEW = {"displayname": "alice"}
"""The profile of a new user."""


def test_names_and_avatars_are_public(site: AccountsSite) -> None:
    user = site.register("alice")
    assert site.http.get(PROFILE).json == NEW
    assert user.http.put(f"{PROFILE}/displayname", {"displayname": "Alice"}).json == {}
    assert user.http.put(f"{PROFILE}/avatar_url", {"avatar_url": "mxc://test/a"}).json == {}
    assert site.http.get(f"{PROFILE}/displayname").json == {"displayname": "Alice"}
    assert site.http.get(f"{PROFILE}/avatar_url").json == {"avatar_url": "mxc://test/a"}
    assert site.http.get(PROFILE).json == {"displayname": "Alice", "avatar_url": "mxc://test/a"}


@pytest.mark.parametrize("value", [{"deep": ["json", 1, None]}, None, "text", [], 0, False])
def test_fields_of_ones_own_keep_any_json(site: AccountsSite, value: Any) -> None:
    user = site.register("alice")
    assert user.http.put(f"{PROFILE}/org.example.thing", {"org.example.thing": value}).status == 200
    assert site.http.get(f"{PROFILE}/org.example.thing").json == {"org.example.thing": value}
    assert site.http.get(PROFILE).json == {**NEW, "org.example.thing": value}
    assert user.http.delete(f"{PROFILE}/org.example.thing").json == {}
    assert site.http.get(f"{PROFILE}/org.example.thing").status == 404
    assert site.http.get(PROFILE).json == NEW
    assert user.http.delete(f"{PROFILE}/org.example.thing").json == {}


def test_time_zones_are_a_field_like_others(site: AccountsSite) -> None:
    user = site.register("alice")
    assert user.http.put(f"{PROFILE}/m.tz", {"m.tz": "Europe/London"}).status == 200
    assert site.http.get(PROFILE).json == {**NEW, "m.tz": "Europe/London"}
    assert user.http.put(f"{PROFILE}/m.tz", {"m.tz": 1}).errcode == "M_BAD_JSON"


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_name_is_no_name(site: AccountsSite, value: str | None) -> None:
    user = site.register("alice")
    user.http.put(f"{PROFILE}/displayname", {"displayname": "Alice"})
    assert user.http.put(f"{PROFILE}/displayname", {"displayname": value}).status == 200
    assert site.http.get(PROFILE).json == {}
    reply = site.http.get(f"{PROFILE}/displayname")
    assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    ("key", "body", "errcode"),
    [
        ("displayname", {}, "M_MISSING_PARAM"),
        ("displayname", {"displayname": 1}, "M_BAD_JSON"),
        ("displayname", {"displayname": "x" * 257}, "M_INVALID_PARAM"),
        ("displayname", {"displayname": "a\0"}, "M_INVALID_PARAM"),
        ("avatar_url", {"avatar_url": "x" * 1001}, "M_INVALID_PARAM"),
        ("Upper", {"Upper": 1}, "M_INVALID_PARAM"),
        ("a b", {"a b": 1}, "M_INVALID_PARAM"),
        ("a" * 256, {"a" * 256: 1}, "M_KEY_TOO_LARGE"),
        ("org.example", {"org.example": "x" * 65_536}, "M_PROFILE_TOO_LARGE"),
        ("org.example", b"nonsense", "M_NOT_JSON"),
    ],
)
def test_what_cannot_be_stored(site: AccountsSite, key: str, body: Any, errcode: str) -> None:
    user = site.register("alice")
    reply = user.http.put(f"{PROFILE}/{key}", body)
    assert (reply.status, reply.errcode) == (400, errcode)
    assert site.http.get(PROFILE).json == NEW


def test_the_limit_is_on_the_whole_profile(site: AccountsSite) -> None:
    user = site.register("alice")
    assert user.http.put(f"{PROFILE}/org.one", {"org.one": "x" * 40_000}).status == 200
    assert user.http.put(f"{PROFILE}/org.two", {"org.two": "x" * 40_000}).errcode == "M_PROFILE_TOO_LARGE"


def test_nobody_changes_the_profile_of_another(site: AccountsSite) -> None:
    site.register("alice")
    bob = site.register("bob")
    reply = bob.http.put(f"{PROFILE}/displayname", {"displayname": "Mallory"})
    assert (reply.status, reply.errcode) == (403, "M_FORBIDDEN")
    assert bob.http.delete(f"{PROFILE}/displayname").status == 403


def test_there_is_no_such_user(site: AccountsSite) -> None:
    for path in ("@nobody:test", "@nobody:test/displayname", "@nobody:elsewhere"):
        reply = site.http.get(f"/_matrix/client/v3/profile/{path}")
        assert (reply.status, reply.errcode) == (404, "M_NOT_FOUND")
    assert site.http.get("/_matrix/client/v3/profile/nonsense").errcode == "M_INVALID_PARAM"


def test_other_servers_are_asked_for_profiles_of_their_users(site: AccountsSite) -> None:
    async def remote(user_id: UserID, key: str | None) -> dict[str, Any]:
        if user_id != "@bob:elsewhere":
            raise NotFound
        return {"displayname": "Bob"}

    site.area.profiles.ask_remote(remote)
    assert site.http.get("/_matrix/client/v3/profile/@bob:elsewhere").json == {"displayname": "Bob"}
    assert site.http.get("/_matrix/client/v3/profile/@bob:elsewhere/displayname").json == {
        "displayname": "Bob"
    }
    assert site.http.get("/_matrix/client/v3/profile/@bob:elsewhere/avatar_url").status == 404


def test_rooms_hear_of_names_and_avatars_that_changed(site: AccountsSite) -> None:
    heard: list[tuple[str, str | None, str | None]] = []

    async def changed(
        who: Requester, user_id: UserID, displayname: str | None, avatar_url: str | None
    ) -> None:
        heard.append((user_id, displayname, avatar_url))

    site.area.profiles.when_changed(changed)
    user = site.register("alice")
    for key, value in (("displayname", "A"), ("displayname", "A"), ("avatar_url", "mxc://a/b"), ("org.x", 1)):
        user.http.put(f"{PROFILE}/{key}", {key: value})
    user.http.delete(f"{PROFILE}/displayname")
    assert heard == [
        ("@alice:test", "A", None),
        ("@alice:test", "A", "mxc://a/b"),
        ("@alice:test", None, "mxc://a/b"),
    ]
