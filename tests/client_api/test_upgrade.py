"""Room upgrades: https://spec.matrix.org/v1.19/client-server-api/#room-upgrades"""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.client import Reply


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def _try_upgrade(who: Syncer, room: str, version: str, **more: Any) -> Reply:
    return who.http.post(room_path(room, "upgrade"), {"new_version": version, **more})


def _upgrade(who: Syncer, room: str, version: str = "10", **more: Any) -> str:
    reply = _try_upgrade(who, room, version, **more)
    assert reply.status == 200, reply.text
    return str(reply.json["replacement_room"])


def test_the_rooms_name_each_other(site: SyncSite) -> None:
    alice = site.person("alice")
    old = alice.create(room_version="9")
    new = _upgrade(alice, old, "10")
    tombstone = alice.whole_state(old)["m.room.tombstone", ""]
    create = alice.state(new, "m.room.create")
    assert tombstone["content"]["replacement_room"] == new
    assert create["predecessor"] == {"room_id": old, "event_id": tombstone["event_id"]}
    assert create["room_version"] == "10"


@pytest.mark.parametrize("version", ["1", "6", "11", "12"])
def test_state_bans_and_levels_are_taken_over(site: SyncSite, version: str) -> None:
    alice, bob, eve = site.people("alice", "bob", "eve")
    kept = {
        "m.room.topic": {"topic": "tea"},
        "m.room.encryption": {"algorithm": "m.megolm.v1.aes-sha2"},
        "m.room.history_visibility": {"history_visibility": "joined"},
    }
    old = alice.public_room(room_version="10", name="Tea", creation_content={"type": "m.space"})
    for event_type, content in kept.items():
        alice.set_state(old, event_type, content)
    alice.set_state(old, "m.space.child", {"via": ["test"]}, "!child:test")
    alice.set_state(old, "m.example.own", {"not": "ours to move"})
    levels = alice.state(old, "m.room.power_levels")
    alice.set_state(old, "m.room.power_levels", {**levels, "users": {**levels["users"], bob.user_id: 60}})
    alice.act("ban", old, user_id=eve.user_id)
    new = _upgrade(alice, old, version)
    assert alice.state(new, "m.room.name") == {"name": "Tea"}
    assert alice.state(new, "m.room.create")["type"] == "m.space"
    assert alice.state(new, "m.space.child", "!child:test") == {"via": ["test"]}
    assert {event_type: alice.state(new, event_type) for event_type in kept} == kept
    assert alice.try_state(new, "m.example.own").status == 404
    assert alice.membership(new, eve) == "ban"
    users = alice.state(new, "m.room.power_levels")["users"]
    assert users == ({bob.user_id: 60} if version == "12" else {alice.user_id: 100, bob.user_id: 60})


def test_the_old_room_goes_quiet(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    old = alice.public_room(room_version="9")
    bob.join(old)
    _upgrade(alice, old)
    assert bob.try_say(old, "hello?").status == 403
    assert alice.state(old, "m.room.power_levels")["invite"] == 50


def test_creators_of_a_new_room_are_those_that_are_named(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    old = alice.public_room(room_version="12")
    levels = alice.state(old, "m.room.power_levels")
    alice.set_state(old, "m.room.power_levels", {**levels, "users": {bob.user_id: 60}})
    new = _upgrade(alice, old, "12", additional_creators=[bob.user_id])
    assert alice.state(new, "m.room.create")["additional_creators"] == [bob.user_id]
    assert alice.state(new, "m.room.power_levels")["users"] == {}
    back = _upgrade(alice, new, "11", additional_creators=[bob.user_id])
    levels = alice.state(back, "m.room.power_levels")
    assert set(levels["users"]) == {alice.user_id, bob.user_id}
    assert min(levels["users"].values()) >= levels["events"]["m.room.tombstone"]


def test_aliases_and_the_listing_move(site: SyncSite) -> None:
    alice = site.person("alice")
    old = alice.public_room(room_version="9", room_alias_name="tea", visibility="public")
    new = _upgrade(alice, old)
    assert alice.http.get(f"{V3}/directory/room/%23tea:test").json["room_id"] == new
    assert alice.state(new, "m.room.canonical_alias") == {"alias": "#tea:test"}
    assert alice.state(old, "m.room.canonical_alias") == {}
    assert [each["room_id"] for each in site.http.get(f"{V3}/publicRooms").json["chunk"]] == [new]


def test_members_find_their_settings_when_they_join(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    old = alice.public_room(room_version="9")
    bob.join(old)
    tags = f"{V3}/user/{bob.user_id}/rooms"
    assert bob.http.put(f"{tags}/{old}/tags/m.favourite", {"order": 0.5}).status == 200
    bob.put_account_data("m.direct", {alice.user_id: [old]})
    rule = f"{V3}/pushrules/global/room/{old}"
    assert bob.http.put(rule, {"actions": []}).status == 200
    new = _upgrade(alice, old)
    assert bob.http.get(f"{tags}/{new}/tags").json == {"tags": {}}
    bob.join(new)
    assert bob.http.get(f"{tags}/{new}/tags").json == {"tags": {"m.favourite": {"order": 0.5}}}
    direct = bob.http.get(f"{V3}/user/{bob.user_id}/account_data/m.direct").json
    assert direct == {alice.user_id: [old, new]}
    assert bob.http.get(f"{V3}/pushrules/global/room/{new}").json["actions"] == []


def test_a_room_that_only_claims_to_replace_another_gets_nothing(site: SyncSite) -> None:
    alice, eve = site.people("alice", "eve")
    old = alice.public_room(room_alias_name="tea", visibility="public")
    eve.public_room(creation_content={"predecessor": {"room_id": old, "event_id": "$x"}})
    assert alice.http.get(f"{V3}/directory/room/%23tea:test").json["room_id"] == old


def test_who_may_not_and_what_cannot_be_upgraded(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    bob.join(room)
    assert _try_upgrade(bob, room, "11").errcode == "M_FORBIDDEN"
    assert _try_upgrade(alice, room, "bad").errcode == "M_UNSUPPORTED_ROOM_VERSION"
    assert _try_upgrade(alice, "!none:test", "11").errcode == "M_NOT_FOUND"
    assert alice.try_set_state(room, "m.room.tombstone", {"replacement_room": room}).status == 400
    assert ("m.room.tombstone", "") not in alice.whole_state(room)
