"""Backups of room keys."""

from typing import Any

import pytest

from homeserver.services.key_backup import AT_A_TIME
from storage.database import Database
from tests.client_api.e2ee import V3, Device
from tests.client_api.sync_site import SyncSite
from tests.harness.client import Reply

KEYS = f"{V3}/room_keys/keys"
VERSION = f"{V3}/room_keys/version"
ROOM, OTHER = "!room:test", "!other:test"


@pytest.fixture
def site(database: Database) -> SyncSite:
    """A server."""
    return SyncSite(database)


@pytest.fixture
def alice(site: SyncSite) -> Device:
    """Who backs up."""
    return Device.register(site, "alice")


def create(who: Device) -> str:
    """Begin a backup; its version."""
    reply = who.here.post(
        VERSION, {"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {"a": 1}}
    )
    assert reply.status == 200, reply.text
    return str(reply.json["version"])


def session(index: int = 5, forwarded: int = 1, verified: bool = False, data: str = "x") -> dict[str, Any]:
    """A session to back up."""
    return {
        "first_message_index": index,
        "forwarded_count": forwarded,
        "is_verified": verified,
        "session_data": {"ciphertext": data},
    }


def put(who: Device, version: str, body: Any, *path: str) -> Reply:
    """Back up."""
    return who.here.put("/".join([KEYS, *path]), body, {"version": version})


def read(who: Device, version: str, *path: str) -> Any:
    """Restore."""
    reply = who.here.get("/".join([KEYS, *path]), {"version": version})
    assert reply.status == 200, reply.text
    return reply.json


def test_a_backup_has_versions_and_the_last_one_is_current(alice: Device) -> None:
    assert alice.here.get(VERSION).errcode == "M_NOT_FOUND"
    first, second = create(alice), create(alice)
    assert alice.here.get(VERSION).json == {
        "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
        "auth_data": {"a": 1},
        "count": 0,
        "etag": "0",
        "version": second,
    }
    assert alice.here.get(f"{VERSION}/{first}").json["version"] == first
    assert alice.here.delete(f"{VERSION}/{second}").status == 200
    assert alice.here.get(VERSION).json["version"] == first
    assert alice.here.get(f"{VERSION}/{second}").errcode == "M_NOT_FOUND"
    assert create(alice) not in (first, second)


def test_its_auth_data_may_change_but_not_its_algorithm(alice: Device) -> None:
    version = create(alice)
    algorithm = alice.here.get(VERSION).json["algorithm"]
    body = {"algorithm": algorithm, "auth_data": {"b": 2}, "version": version}
    assert alice.here.put(f"{VERSION}/{version}", body).status == 200
    assert alice.here.get(VERSION).json["auth_data"] == {"b": 2}
    assert alice.here.put(f"{VERSION}/{version}", {**body, "algorithm": "x"}).errcode == "M_INVALID_PARAM"
    assert alice.here.put(f"{VERSION}/{version}", {**body, "version": "9"}).errcode == "M_INVALID_PARAM"
    assert alice.here.put(f"{VERSION}/9", {**body, "version": "9"}).errcode == "M_NOT_FOUND"


def test_sessions_are_stored_and_read_one_by_one_by_room_and_all(alice: Device) -> None:
    version = create(alice)
    assert put(alice, version, session(), ROOM, "one").json == {"etag": "1", "count": 1}
    assert put(alice, version, {"sessions": {"two": session()}}, ROOM).json["count"] == 2
    assert put(alice, version, {"rooms": {OTHER: {"sessions": {"three": session()}}}}).json["count"] == 3
    assert read(alice, version, ROOM, "one") == session()
    assert set(read(alice, version, ROOM)["sessions"]) == {"one", "two"}
    everything = read(alice, version)["rooms"]
    assert {room: set(each["sessions"]) for room, each in everything.items()} == {
        ROOM: {"one", "two"},
        OTHER: {"three"},
    }
    assert alice.here.get(VERSION).json["count"] == 3


BETTER = [session(verified=True, index=9), session(index=4), session(forwarded=0)]
WORSE = [session(data="y"), session(index=6, forwarded=0), session(forwarded=2), session(index=6)]


@pytest.mark.parametrize("new", BETTER)
def test_a_better_session_replaces_the_one_there(alice: Device, new: dict[str, Any]) -> None:
    version = create(alice)
    before = put(alice, version, session(), ROOM, "one").json
    after = put(alice, version, new, ROOM, "one").json
    assert read(alice, version, ROOM, "one") == new
    assert after["etag"] != before["etag"]
    assert after["count"] == before["count"]


@pytest.mark.parametrize("new", WORSE)
def test_a_worse_one_does_not(alice: Device, new: dict[str, Any]) -> None:
    version = create(alice)
    before = put(alice, version, session(), ROOM, "one").json
    assert put(alice, version, new, ROOM, "one").json == before
    assert read(alice, version, ROOM, "one") == session()


def test_only_the_current_version_takes_sessions(alice: Device) -> None:
    first = create(alice)
    second = create(alice)
    refused = put(alice, first, session(), ROOM, "one")
    assert (refused.status, refused.errcode) == (403, "M_WRONG_ROOM_KEYS_VERSION")
    assert refused.json["current_version"] == second


def test_sessions_are_deleted_one_by_one_by_room_and_all(alice: Device) -> None:
    version = create(alice)
    body = {"rooms": {room: {"sessions": {n: session() for n in "abc"}} for room in (ROOM, OTHER)}}
    put(alice, version, body)
    query = {"version": version}
    assert alice.here.request("DELETE", f"{KEYS}/{ROOM}/a", None, query).json["count"] == 5
    assert alice.here.request("DELETE", f"{KEYS}/{ROOM}", None, query).json["count"] == 3
    assert read(alice, version, ROOM) == {"sessions": {}}
    assert alice.here.get(f"{KEYS}/{ROOM}/a", query).errcode == "M_NOT_FOUND"
    assert alice.here.request("DELETE", KEYS, None, query).json["count"] == 0
    assert read(alice, version) == {"rooms": {}}


@pytest.mark.parametrize("algorithm", ["", "\0", "m." + "x" * 300])
def test_a_backup_of_no_algorithm_is_refused(alice: Device, algorithm: str) -> None:
    reply = alice.here.post(VERSION, {"algorithm": algorithm, "auth_data": {}})
    assert (reply.status, reply.errcode) == (400, "M_INVALID_PARAM")


def test_what_its_clients_keep_with_it_may_be_anything(alice: Device) -> None:
    body = {"algorithm": "m.megolm_backup.v1", "auth_data": "an opaque string"}
    assert alice.here.post(VERSION, body).status == 200


def test_nobody_else_sees_it(site: SyncSite, alice: Device) -> None:
    version = create(alice)
    put(alice, version, session(), ROOM, "one")
    bob = Device.register(site, "bob")
    assert bob.here.get(KEYS, {"version": version}).errcode == "M_NOT_FOUND"
    create(bob)
    assert bob.here.get(KEYS, {"version": version}).json == {"rooms": {}}


@pytest.mark.parametrize(
    "broken",
    [
        {},
        session() | {"is_verified": 1},
        session() | {"first_message_index": -1},
        session() | {"session_data": 1},
    ],
)
def test_what_is_no_session_is_refused(alice: Device, broken: dict[str, Any]) -> None:
    assert put(alice, create(alice), broken, ROOM, "one").errcode == "M_BAD_JSON"


def test_a_backup_takes_many_sessions_at_once(alice: Device) -> None:
    version = create(alice)
    body = {"rooms": {ROOM: {"sessions": {str(n): session() for n in range(2000)}}}}
    assert put(alice, version, body).json["count"] == 2000
    assert len(read(alice, version, ROOM)["sessions"]) == 2000


@pytest.mark.parametrize("count", [AT_A_TIME - 1, AT_A_TIME, AT_A_TIME + 1, 2 * AT_A_TIME + 3])
def test_a_large_backup_comes_whole_in_pieces(alice: Device, count: int) -> None:
    version = create(alice)
    rooms: dict[str, Any] = {room: {"sessions": {}} for room in (ROOM, OTHER, "!third:test")}
    for number in range(count):
        rooms[list(rooms)[number % 2]]["sessions"][f"s{number:05}"] = session(number)
    del rooms["!third:test"]
    assert put(alice, version, {"rooms": rooms}).json["count"] == count
    assert read(alice, version) == {"rooms": rooms}
    assert read(alice, version, ROOM) == rooms[ROOM]
    assert read(alice, version, "!third:test") == {"sessions": {}}
    only = {ROOM: {"sessions": {f"t{number:05}": session(number) for number in range(count)}}}
    version = create(alice)
    assert put(alice, version, {"rooms": only}).status == 200
    assert read(alice, version) == {"rooms": only}
    assert read(alice, version, ROOM) == only[ROOM]
