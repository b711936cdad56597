"""Events by date: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event"""

import pytest

from storage.database import Database
from tests.client_api.sync_site import SyncSite


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def test_the_event_closest_to_a_time_is_found(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    room = alice.public_room()
    site.clock.advance(10)
    first = alice.say(room, "one")
    site.clock.advance(10)
    second = alice.say(room, "two")
    path = f"/_matrix/client/v1/rooms/{room}/timestamp_to_event"
    first_ts, second_ts = (alice.event(room, event_id)["origin_server_ts"] for event_id in (first, second))
    for ts, direction, expected in (
        (first_ts, "f", first),
        (first_ts + 1, "f", second),
        (second_ts + 5, "b", second),
        (second_ts - 1, "b", first),
    ):
        assert alice.http.get(path, {"ts": ts, "dir": direction}).json["event_id"] == expected
    found = alice.http.get(path, {"ts": first_ts, "dir": "b"}).json
    assert found == {"event_id": first, "origin_server_ts": first_ts}
    assert alice.http.get(path, {"ts": second_ts + 1, "dir": "f"}).errcode == "M_NOT_FOUND"
    assert bob.http.get(path, {"ts": first_ts, "dir": "f"}).errcode == "M_FORBIDDEN"


def test_events_that_the_user_may_not_see_are_passed_over(site: SyncSite) -> None:
    alice, bob = site.people("alice", "bob")
    hidden = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
    room = alice.public_room(initial_state=[hidden])
    site.clock.advance(10)
    secret = alice.event(room, alice.say(room, "secret"))
    site.clock.advance(10)
    bob.join(room)
    path = f"/_matrix/client/v1/rooms/{room}/timestamp_to_event"
    found = bob.http.get(path, {"ts": secret["origin_server_ts"], "dir": "f"}).json
    assert bob.event(room, found["event_id"])["state_key"] == bob.user_id
