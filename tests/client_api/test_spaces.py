"""Spaces and summaries: https://spec.matrix.org/v1.19/client-server-api/#discovering-rooms-within-spaces"""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.client import Reply

V1 = "/_matrix/client/v1"


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def _space(who: Syncer, **wishes: Any) -> str:
    return who.create(**{"preset": "public_chat", "creation_content": {"type": "m.space"}, **wishes})


def _add(who: Syncer, space: str, child: str, **more: Any) -> None:
    who.set_state(space, "m.space.child", {"via": ["test"], **more}, child)


def _try(who: Syncer, room: str, **query: Any) -> Reply:
    return who.http.get(
        f"{V1}/rooms/{room}/hierarchy", {name.rstrip("_"): value for name, value in query.items()}
    )


def _rooms(who: Syncer, room: str, **query: Any) -> list[str]:
    reply = _try(who, room, **query)
    assert reply.status == 200, reply.text
    return [each["room_id"] for each in reply.json["rooms"]]


def test_the_tree_is_walked_depth_first_in_the_order_of_children(site: SyncSite) -> None:
    alice = site.person("alice")
    space, below = _space(alice, name="Top"), _space(alice)
    first, second, third = (alice.public_room() for _ in range(3))
    _add(alice, space, third)
    _add(alice, space, below, order="a")
    _add(alice, space, second, order="b", suggested=True)
    _add(alice, below, first)
    _add(alice, below, space)
    assert _rooms(alice, space) == [space, below, first, second, third]
    assert _rooms(alice, space, max_depth=1) == [space, below, second, third]
    assert _rooms(alice, space, max_depth=0) == [space]
    assert _rooms(alice, space, suggested_only="true") == [space, second]
    top = _try(alice, space).json["rooms"][0]
    assert (top["name"], top["room_type"], top["num_joined_members"]) == ("Top", "m.space", 1)
    assert [child["state_key"] for child in top["children_state"]] == [below, second, third]
    assert {"type", "state_key", "content", "sender", "origin_server_ts"} == set(top["children_state"][0])


def test_pages_make_up_the_whole(site: SyncSite) -> None:
    alice = site.person("alice")
    space = _space(alice)
    children = [alice.public_room() for _ in range(5)]
    for number, child in enumerate(children):
        _add(alice, space, child, order=str(number))
    page = _try(alice, space, limit=4).json
    assert [each["room_id"] for each in page["rooms"]] == [space, *children[:3]]
    assert _try(alice, space, from_=page["next_batch"], max_depth=1).errcode == "M_INVALID_PARAM"
    rest = _try(alice, space, from_=page["next_batch"], limit=2).json
    assert [each["room_id"] for each in rest["rooms"]] == children[3:]
    assert "next_batch" not in rest


def test_only_rooms_that_the_user_may_enter_are_shown(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    space = _space(alice)
    secret, invited = alice.create(preset="private_chat"), alice.create(preset="private_chat")
    for_members = alice.create(
        initial_state=[
            {
                "type": "m.room.join_rules",
                "content": {
                    "join_rule": "restricted",
                    "allow": [{"type": "m.room_membership", "room_id": space}],
                },
            }
        ]
    )
    for child in (secret, invited, for_members):
        _add(alice, space, child)
    alice.invite(invited, bob)
    assert set(_rooms(bob, space)) == {space, invited}
    bob.join(space)
    assert set(_rooms(bob, space)) == {space, invited, for_members}
    assert _try(bob, secret).errcode == "M_FORBIDDEN"
    assert _try(bob, "!none:test").errcode == "M_FORBIDDEN"


def test_a_room_is_summed_up_for_who_may_enter_it(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room(room_alias_name="tea", name="Tea", room_version="11")
    summary = bob.http.get(f"{V1}/room_summary/%23tea:test")
    assert summary.json["room_id"] == room
    assert (summary.json["name"], summary.json["membership"]) == ("Tea", "leave")
    assert summary.json["room_version"] == "11"
    assert "membership" not in site.http.get(f"{V1}/room_summary/{room}").json
    secret = alice.create(preset="private_chat")
    assert bob.http.get(f"{V1}/room_summary/{secret}").errcode == "M_NOT_FOUND"
    assert site.http.get(f"{V1}/room_summary/{secret}").status == 404
    alice.invite(secret, bob)
    old = "/_matrix/client/unstable/im.nheko.summary/summary"
    assert bob.http.get(f"{old}/{secret}").json["membership"] == "invite"


def test_who_may_knock_in_a_version_without_knocking_may_not_see_the_room(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    seen = {}
    for version in ("6", "7"):
        room = alice.create(room_version=version, preset="private_chat")
        alice.set_state(room, "m.room.join_rules", {"join_rule": "knock"})
        seen[version] = bob.http.get(f"{V1}/room_summary/{room}").status
    assert seen == {"6": 404, "7": 200}


def test_a_guest_sees_what_strangers_may_see(database: Database) -> None:
    site = SyncSite(database, {"registration": {"mode": "open", "guests": True}})
    room = site.person("alice").public_room(name="Hall")
    token = site.http.post(f"{V3}/register", {}, {"kind": "guest"}).json["access_token"]
    assert site.http.with_token(token).get(f"{V1}/room_summary/{room}").json["name"] == "Hall"
