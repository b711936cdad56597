"""Dehydrated devices."""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.e2ee import V3, Device, one_time_keys
from tests.client_api.sync_site import SyncSite

PATH = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"


@pytest.fixture
def site(database: Database) -> SyncSite:
    """A server."""
    return SyncSite(database)


def keep(alice: Device, device_id: str = "SLEEPER") -> dict[str, Any]:
    """Put a device to sleep; what was put."""
    body = {
        "device_id": device_id,
        "device_data": {"algorithm": "x", "pickle": "secret"},
        "device_keys": {
            "user_id": alice.user_id,
            "device_id": device_id,
            "algorithms": [],
            "keys": {},
            "signatures": {},
        },
        "one_time_keys": one_time_keys("A"),
        "initial_device_display_name": "asleep",
    }
    reply = alice.here.put(PATH, body)
    assert reply.json == {"device_id": device_id}
    return body


def test_it_is_a_device_with_keys_that_its_owner_finds_again(alice: Device, bob: Device) -> None:
    assert alice.here.get(PATH).errcode == "M_NOT_FOUND"
    body = keep(alice)
    assert alice.here.get(PATH).json == {"device_id": "SLEEPER", "device_data": body["device_data"]}
    assert "SLEEPER" in bob.query(alice)["device_keys"][alice.user_id]
    claim = {"one_time_keys": {alice.user_id: {"SLEEPER": "signed_curve25519"}}}
    assert bob.here.post(f"{V3}/keys/claim", claim).json["one_time_keys"][alice.user_id]["SLEEPER"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_messages_to_it_wait_until_it_is_deleted(alice: Device, bob: Device, method: str) -> None:
    keep(alice)
    for number in range(3):
        bob.send(alice, str(number), device="SLEEPER")

    def events(token: str | None = None) -> Any:
        given = {} if token is None else {"next_batch": token}
        path = f"{PATH}/SLEEPER/events"
        if method == "GET":
            return alice.here.get(path, given).json
        return alice.here.post(path, given).json

    for _ in range(2):
        page = events()
        assert [event["content"]["text"] for event in page["events"]] == ["0", "1", "2"]
        assert events(page["next_batch"])["events"] == []
    assert alice.here.delete(PATH).json == {"device_id": "SLEEPER"}
    assert alice.here.get(PATH).errcode == "M_NOT_FOUND"
    assert bob.query(alice)["device_keys"][alice.user_id] == {}


def test_what_follows_in_another_olm_session_is_on_the_next_page(alice: Device, bob: Device) -> None:
    keep(alice)
    bob.send_encrypted(alice, 0, "key", device="SLEEPER")
    bob.send_encrypted(alice, 1, "key again", device="SLEEPER")
    first = alice.here.get(f"{PATH}/SLEEPER/events").json
    second = alice.here.get(f"{PATH}/SLEEPER/events", {"next_batch": first["next_batch"]}).json
    bodies = [[event["content"]["text"] for event in page["events"]] for page in (first, second)]
    assert bodies == [["key"], ["key again"]]


def test_a_new_one_takes_the_place_of_the_old(alice: Device, bob: Device) -> None:
    keep(alice, "OLD")
    keep(alice, "NEW")
    assert set(bob.query(alice)["device_keys"][alice.user_id]) == {"NEW"}


def test_it_is_nobody_elses(alice: Device, bob: Device) -> None:
    keep(alice)
    assert bob.here.get(f"{PATH}/SLEEPER/events").errcode == "M_FORBIDDEN"
    assert bob.here.get(PATH).errcode == "M_NOT_FOUND"
