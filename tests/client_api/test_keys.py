"""End-to-end keys: uploading, asking, claiming, and hearing of changes."""

import pytest

from storage import metrics
from storage.database import Database
from tests.client_api.e2ee import V3, Device, one_time_keys
from tests.client_api.sync_site import SyncSite


@pytest.fixture
def site(database: Database) -> SyncSite:
    """A server."""
    return SyncSite(database)


def test_uploaded_keys_are_given_to_others_with_the_name_of_the_device(alice: Device, bob: Device) -> None:
    alice.upload_device_keys()
    alice.here.put(f"{V3}/devices/{alice.device_id}", {"display_name": "Alice's phone"})
    found = bob.query(alice)["device_keys"][alice.user_id][alice.device_id]
    assert found.pop("unsigned") == {"device_display_name": "Alice's phone"}
    assert found == alice.device_keys()


def test_who_has_no_keys_is_answered_with_nothing(alice: Device, bob: Device) -> None:
    assert bob.query(alice)["device_keys"] == {alice.user_id: {}}


def test_keys_of_another_device_are_refused(alice: Device) -> None:
    keys = alice.device_keys() | {"device_id": "OTHER"}
    assert alice.try_upload(device_keys=keys).errcode == "M_INVALID_PARAM"


def test_one_time_keys_are_handed_out_in_order_and_once(alice: Device, bob: Device) -> None:
    assert alice.upload(one_time_keys=one_time_keys("B", "A")) == {"signed_curve25519": 2}
    assert alice.upload(one_time_keys=one_time_keys("0")) == {"signed_curve25519": 3}
    claimed = [list(bob.claim(alice)) for _ in range(4)]
    assert claimed == [["signed_curve25519:B"], ["signed_curve25519:A"], ["signed_curve25519:0"], []]


def test_the_same_one_time_key_again_changes_nothing(alice: Device) -> None:
    alice.upload(one_time_keys=one_time_keys("A"))
    assert alice.upload(one_time_keys=one_time_keys("A")) == {"signed_curve25519": 1}


def test_another_key_under_an_id_that_waits_is_refused(alice: Device, bob: Device) -> None:
    alice.upload(one_time_keys=one_time_keys("A"))
    reply = alice.try_upload(one_time_keys=one_time_keys("A", "B", prefix="other"))
    assert (reply.status, reply.errcode) == (400, "M_INVALID_PARAM")
    assert bob.claim(alice) == {"signed_curve25519:A": {"key": "keyA", "signatures": {}}}
    assert bob.claim(alice) == {}


def test_a_key_that_was_given_away_is_not_given_again(alice: Device, bob: Device) -> None:
    alice.upload(one_time_keys=one_time_keys("A"))
    assert bob.claim(alice)
    assert alice.upload(one_time_keys=one_time_keys("A")) == {"signed_curve25519": 0}
    assert bob.claim(alice) == {}


def test_a_fallback_key_is_given_when_there_is_no_other(alice: Device, bob: Device) -> None:
    fallback = {"signed_curve25519:F": {"key": "fallback", "fallback": True, "signatures": {}}}
    alice.upload(one_time_keys=one_time_keys("A"), fallback_keys=fallback)
    assert alice.sync()["device_unused_fallback_key_types"] == ["signed_curve25519"]
    assert list(bob.claim(alice)) == ["signed_curve25519:A"]
    assert alice.sync()["device_unused_fallback_key_types"] == ["signed_curve25519"]
    assert bob.claim(alice) == bob.claim(alice) == fallback
    assert alice.sync()["device_unused_fallback_key_types"] == []
    alice.upload(fallback_keys=fallback)
    assert alice.sync()["device_unused_fallback_key_types"] == []


def test_every_sync_counts_the_keys(alice: Device, bob: Device) -> None:
    assert alice.sync()["device_one_time_keys_count"] == {"signed_curve25519": 0}
    alice.upload(one_time_keys=one_time_keys("A", "B"))
    assert alice.sync()["device_one_time_keys_count"] == {"signed_curve25519": 2}
    bob.claim(alice)
    answer = alice.sync()
    assert answer["device_one_time_keys_count"] == {"signed_curve25519": 1}
    assert set(alice.sync()) == set(answer)


def test_who_shares_a_room_hears_of_changes(site: SyncSite, alice: Device, bob: Device) -> None:
    stranger = Device.register(site, "stranger")
    room = alice.public_room()
    bob.join(room)
    for each in (alice, bob, stranger):
        each.first_sync()
    alice.upload_device_keys()
    assert bob.changed() == {"changed": [alice.user_id], "left": []}
    assert alice.changed() == {"changed": [alice.user_id], "left": []}
    assert stranger.changed() == {}
    alice.upload_device_keys()
    assert bob.changed() == {}


@pytest.mark.parametrize("restart", [False, True])
def test_coming_and_going_is_told(site: SyncSite, alice: Device, bob: Device, restart: bool) -> None:
    def again() -> None:
        if restart:
            site.start()
            for each in (alice, bob):
                each.reconnect()

    room = alice.public_room()
    for each in (alice, bob):
        each.first_sync()
    bob.join(room)
    again()
    assert alice.changed() == {"changed": [bob.user_id], "left": []}
    assert alice.user_id in bob.changed()["changed"]
    bob.act("leave", room)
    again()
    assert alice.changed() == {"changed": [], "left": [bob.user_id]}
    assert bob.changed() == {"changed": [], "left": [alice.user_id]}


def test_who_still_shares_another_room_has_not_left(alice: Device, bob: Device) -> None:
    first, second = alice.public_room(), alice.public_room()
    bob.join(first)
    bob.join(second)
    for each in (alice, bob):
        each.first_sync()
    bob.act("leave", first)
    assert alice.changed() == {}
    assert bob.changed() == {}


def test_a_waiting_client_hears_of_a_change_at_once(alice: Device, bob: Device) -> None:
    room = alice.public_room()
    bob.join(room)
    bob.first_sync()
    poll = bob.poll()
    assert not poll.done
    alice.upload_device_keys()
    bob.sync_site.turn()
    assert poll.reply.json["device_lists"]["changed"] == [alice.user_id]


def test_changes_can_be_asked_for_between_tokens(site: SyncSite, alice: Device, bob: Device) -> None:
    room = alice.public_room()
    bob.join(room)
    before = bob.first_sync()["next_batch"]
    alice.upload_device_keys()
    after = bob.sync()["next_batch"]
    found = bob.here.get(f"{V3}/keys/changes", {"from": before, "to": after}).json
    assert found == {"changed": [alice.user_id], "left": []}
    assert bob.here.get(f"{V3}/keys/changes", {"from": after, "to": after}).json["changed"] == []
    assert bob.here.get(f"{V3}/keys/changes", {"from": "nonsense", "to": after}).errcode == "M_INVALID_PARAM"
    site.start()
    bob.reconnect()
    assert bob.here.get(f"{V3}/keys/changes", {"from": before, "to": after}).json == found


def test_new_devices_names_and_deletions_are_told(alice: Device, bob: Device) -> None:
    room = alice.public_room()
    bob.join(room)
    bob.first_sync()
    second = alice.another()
    assert bob.changed()["changed"] == [alice.user_id]
    second.here.put(f"{V3}/devices/{second.device_id}", {"display_name": "second"})
    assert bob.changed()["changed"] == [alice.user_id]
    second.upload(device_keys=second.device_keys(), one_time_keys=one_time_keys("A"))
    assert bob.changed()["changed"] == [alice.user_id]
    second.here.post(f"{V3}/logout")
    assert bob.changed()["changed"] == [alice.user_id]
    assert bob.query(alice)["device_keys"][alice.user_id] == {}
    assert bob.claim(second) == {}


def test_an_idle_sync_asks_the_database_nothing(site: SyncSite, alice: Device) -> None:
    alice.public_room()
    alice.upload(device_keys=alice.device_keys(), one_time_keys=one_time_keys("A"))
    alice.first_sync()
    alice.sync()
    before = queries()
    assert alice.sync()["device_one_time_keys_count"] == {"signed_curve25519": 1}
    assert queries() == before


def queries() -> float | None:
    """How many statements were run."""
    return metrics.REGISTRY.get_sample_value("meridian_database_queries_total")
