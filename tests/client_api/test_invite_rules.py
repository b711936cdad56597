"""Whose invites a user takes. https://github.com/matrix-org/matrix-spec-proposals/pull/4155"""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.push_site import PushSite, set_pusher
from tests.client_api.sync_site import Syncer, SyncSite

RULES = "org.matrix.msc4155.invite_permission_config"


@pytest.fixture
def site(database: Database) -> SyncSite:
    """A server."""
    return SyncSite(database)


@pytest.mark.parametrize(
    ("rules", "blocked"),
    [
        ({}, False),
        ({"blocked_users": ["@bob:test"]}, True),
        ({"blocked_users": ["@b*:test"]}, True),
        ({"blocked_users": ["@carol:test"]}, False),
        ({"blocked_servers": ["test"]}, True),
        ({"blocked_servers": ["*"], "allowed_users": ["@bob:test"]}, False),
        ({"blocked_users": ["*"], "allowed_servers": ["test"]}, True),
        ({"blocked_servers": ["*"], "allowed_servers": ["test"]}, False),
        ({"blocked_users": ["@bob:test"], "enabled": False}, False),
        ({"blocked_users": "all", "blocked_servers": [5, None, ""]}, False),
    ],
)
def test_invites_are_blocked_by_rules(site: SyncSite, rules: dict[str, Any], blocked: bool) -> None:
    alice, bob = site.people("alice", "bob")
    alice.put_account_data(RULES, rules)
    reply = bob.try_act("invite", bob.create(), user_id=alice.user_id)
    assert (reply.status, reply.errcode if blocked else None) == (
        (403, "M_INVITE_BLOCKED") if blocked else (200, None)
    )


def test_ignored_invites_are_not_shown(site: SyncSite) -> None:
    alice, bob, carol = site.people("alice", "bob", "carol")
    alice.put_account_data(RULES, {"ignored_users": [bob.user_id]})
    alice.sync()
    hidden, shown = bob.create(), carol.create()
    bob.invite(hidden, alice)
    carol.invite(shown, alice)
    assert set(alice.sync()["rooms"]["invite"]) == {shown}
    assert set(alice.first_sync()["rooms"]["invite"]) == {shown}
    alice.put_account_data(RULES, {})
    assert set(alice.sync()["rooms"]["invite"]) == {hidden, shown}


def test_a_room_cannot_be_made_with_somebody_who_blocks_its_maker(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    alice.put_account_data(RULES, {"blocked_servers": ["test"]})
    reply = bob.http.post("/_matrix/client/v3/createRoom", {"invite": [alice.user_id]})
    assert reply.errcode == "M_INVITE_BLOCKED"


def test_clients_are_told(site: SyncSite) -> None:
    assert site.http.get("/_matrix/client/versions").json["unstable_features"]["org.matrix.msc4155"] is True


def told(who: Syncer) -> list[Any]:
    """What a sync tells of the account's data, push rules aside."""
    events = who.sync().get("account_data", {}).get("events", [])
    return [event for event in events if event["type"] != "m.push_rules"]


def test_deleted_account_data_is_told_once_and_then_gone(site: SyncSite) -> None:
    alice = site.person("alice")
    alice.put_account_data("a.type", {"n": 1})
    alice.sync()
    delete = f"/_matrix/client/unstable/org.matrix.msc3391/user/{alice.user_id}"
    assert alice.http.delete(f"{delete}/account_data/a.type").json == {}
    assert told(alice) == [{"type": "a.type", "content": {}}]
    path = f"/_matrix/client/v3/user/{alice.user_id}/account_data/a.type"
    assert alice.http.get(path).errcode == "M_NOT_FOUND"
    assert alice.http.delete(f"{delete}/account_data/a.type").json == {}
    assert told(alice) == []
    alice.since = None
    assert told(alice) == []
    alice.put_account_data("a.type", {"n": 2})
    assert told(alice) == [{"type": "a.type", "content": {"n": 2}}]


def test_account_data_of_a_room_is_deleted_by_its_owner_alone(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.create()
    alice.put_account_data("a.type", {"n": 1}, room)
    alice.sync()
    base = f"/_matrix/client/unstable/org.matrix.msc3391/user/{alice.user_id}/rooms/{room}/account_data"
    assert bob.http.delete(f"{base}/a.type").errcode == "M_FORBIDDEN"
    assert alice.http.delete(f"{base}/m.fully_read").status == 405
    assert alice.http.delete(f"{base}/a.type").json == {}
    assert alice.joined(room)["account_data"]["events"] == [{"type": "a.type", "content": {}}]
    assert all(event["type"] != "a.type" for event in _data(alice.first_sync(), room))


def test_empty_account_data_is_deleted(site: SyncSite) -> None:
    """https://github.com/matrix-org/matrix-spec-proposals/pull/3391"""
    alice = site.person("alice")
    room = alice.create()
    for place in (None, room):
        alice.put_account_data("a.type", {"n": 1}, place)
    alice.sync()
    for place, path in ((None, "account_data"), (room, f"rooms/{room}/account_data")):
        alice.put_account_data("a.type", {}, place)
        path = f"/_matrix/client/v3/user/{alice.user_id}/{path}/a.type"
        assert alice.http.get(path).errcode == "M_NOT_FOUND"
    news = alice.sync()
    empty = {"type": "a.type", "content": {}}
    assert (news["account_data"]["events"], _data(news, room)) == ([empty], [empty])
    later = alice.first_sync()
    assert all(event["type"] != "a.type" for event in later["account_data"]["events"] + _data(later, room))
    alice.sync()
    alice.put_account_data("never.there", {})
    assert told(alice) == [{"type": "never.there", "content": {}}], "clients wait to hear of what they put"


def _data(answer: Any, room: str) -> list[Any]:
    events: list[Any] = answer["rooms"]["join"][room].get("account_data", {}).get("events", [])
    return events


def test_ignored_invites_are_in_no_list_of_sliding_sync(site: SyncSite) -> None:
    alice, bob, carol = site.people("alice", "bob", "carol")
    alice.put_account_data(RULES, {"ignored_users": [bob.user_id]})
    bob.invite(bob.create(), alice)
    shown = carol.create()
    carol.invite(shown, alice)
    body = {"lists": {"all": {"ranges": [[0, 10]], "timeline_limit": 1, "required_state": []}}}
    path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
    answer = alice.http.post(path, body).json
    assert (answer["lists"]["all"]["count"], set(answer["rooms"])) == (1, {shown})


def test_invites_from_before_they_were_blocked_are_shown_again_when_they_no_longer_are(
    site: SyncSite,
) -> None:
    """https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-2"""
    alice, bob = site.people("alice", "bob")
    room = bob.create()
    bob.invite(room, alice)
    body = {"lists": {"all": {"ranges": [[0, 10]], "timeline_limit": 1, "required_state": []}}}
    path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
    for config, shown in (({"default_action": "block"}, set()), ({}, {room})):
        alice.put_account_data("m.invite_permission_config", config)
        assert alice.first_sync().get("rooms", {}).get("invite", {}).keys() == shown
        assert set(alice.http.post(path, body).json["rooms"]) == shown


def test_ignored_invites_are_not_pushed(database: Database) -> None:
    site = PushSite(database)
    anna, ben, carl = site.people("anna", "ben", "carl")
    set_pusher(anna)
    anna.put_account_data(RULES, {"ignored_users": [ben.user_id]})
    ben.invite(ben.create(name="Spam"), anna)
    carl.invite(carl.create(name="Party"), anna)
    assert [push.get("room_name") for push in site.pushed()] == ["Party"]
