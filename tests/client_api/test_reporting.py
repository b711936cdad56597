"""Reports and mutual rooms: https://spec.matrix.org/v1.19/client-server-api/#reporting-content"""

import pytest

from storage.database import Database
from storage.tables.reports import Report, Reports
from tests.client_api.rooms_site import V3, room_path
from tests.client_api.sync_site import SyncSite
from tests.harness.memory import result_of


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def _reports(site: SyncSite) -> list[Report]:
    async def read() -> list[Report]:
        return await site.database.read(lambda tx: Reports(tx).page(2**62, 10))

    return result_of(read())


def test_reports_of_events_rooms_and_users_are_kept(site: SyncSite) -> None:
    alice, bob, eve = site.people("alice", "bob", "eve")
    room = alice.public_room()
    bob.join(room)
    event = alice.say(room, "rude")
    assert bob.http.post(room_path(room, "report", event), {"reason": "rude"}).status == 200
    assert eve.http.post(room_path(room, "report"), {"reason": ""}).status == 200
    assert eve.http.post(f"{V3}/users/{alice.user_id}/report", {"reason": "her"}).status == 200
    kept = [
        (each.reporter, each.room_id, each.event_id, each.user_id, each.reason) for each in _reports(site)
    ]
    assert kept == [
        (eve.user_id, None, None, alice.user_id, "her"),
        (eve.user_id, room, None, None, ""),
        (bob.user_id, room, event, alice.user_id, "rude"),
    ]


def test_what_cannot_be_reported(site: SyncSite) -> None:
    alice, eve = site.people("alice", "eve")
    room = alice.public_room()
    event = alice.say(room, "rude")
    assert eve.http.post(room_path(room, "report", event), {"reason": "x"}).errcode == "M_NOT_FOUND"
    assert alice.http.post(room_path(room, "report", "$none"), {"reason": "x"}).errcode == "M_NOT_FOUND"
    assert alice.http.post(room_path("!none:test", "report"), {"reason": "x"}).errcode == "M_NOT_FOUND"
    assert alice.http.post(room_path(room, "report"), {}).status == 400
    assert eve.http.post(f"{V3}/users/@nobody:test/report", {"reason": "x"}).status == 200
    assert _reports(site) == []


@pytest.mark.parametrize(
    "path",
    ["/_matrix/client/v1/mutual_rooms", "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms"],
)
def test_rooms_that_both_are_in_are_listed(site: SyncSite, path: str) -> None:
    alice, bob = site.people("alice", "bob")
    shared = sorted(alice.public_room() for _ in range(2))
    alice.public_room()
    bob.public_room()
    for room in shared:
        bob.join(room)
    assert bob.http.get(path, {"user_id": alice.user_id}).json == {"joined": shared, "count": 2}
    assert bob.http.get(path, {"user_id": "@nobody:test"}).json == {"joined": [], "count": 0}
    assert bob.http.get(path, {"user_id": bob.user_id}).errcode == "M_INVALID_PARAM"
