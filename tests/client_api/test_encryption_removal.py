"""What is left of the keys of a closed account: nothing.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
"""

from typing import Any

import pytest

from homeserver.protocol.identifiers import UserID
from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.e2ee import V3, Device, one_time_keys
from tests.client_api.sync_site import SyncSite
from tests.client_api.test_cross_signing import Signer
from tests.client_api.test_dehydrated_device import PATH as DEHYDRATED
from tests.client_api.test_dehydrated_device import keep
from tests.client_api.test_key_backup import VERSION, create, put, session
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase

TABLES = (
    "access_tokens",
    "cross_signing_keys",
    "dehydrated_devices",
    "device_keys",
    "devices",
    "fallback_keys",
    "key_backup_sessions",
    "key_backups",
    "one_time_keys",
    "pushers",
    "refresh_tokens",
    "to_device_messages",
    "used_one_time_keys",
)


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


def equip(alice: Device, bob: Device) -> None:
    """Let Alice have everything that one can have."""
    alice.upload(
        device_keys=alice.device_keys(),
        one_time_keys=one_time_keys("A", "B"),
        fallback_keys=one_time_keys("F"),
    )
    other = alice.another()
    other.upload(device_keys=other.device_keys(), one_time_keys=one_time_keys("C"))
    for person in (alice, bob):
        assert Signer(person).upload().status == 200
    master = Signer(bob).master.public
    signed = Signer(alice).user_signing.signed(alice.user_id, Signer(bob).key("master"))
    reply = alice.here.post(f"{V3}/keys/signatures/upload", {bob.user_id: {master: signed}})
    assert reply.json == {"failures": {}}
    for _ in range(2):
        version = create(alice)
        put(alice, version, {"rooms": {"!r:test": {"sessions": {"s": session()}}}})
    keep(alice)
    bob.claim(alice)
    bob.send(alice, "unread", device="*")
    pusher = {"app_id": "app", "pushkey": "key", "kind": "http", "app_display_name": "a", "lang": "en"}
    more = {"device_display_name": "d", "data": {"url": "https://push.test/_matrix/push/v1/notify"}}
    assert alice.here.post(f"{V3}/pushers/set", {**pusher, **more}).status == 200


def deactivate(alice: Device) -> None:
    """Close the account."""
    identifier = {"type": "m.id.user", "user": alice.user_id}
    auth = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    assert alice.here.post(f"{V3}/account/deactivate", {"auth": auth}).status == 200


def left_of(database: TestDatabase, who: Device) -> dict[str, Any]:
    """How many rows each table has of somebody."""
    counts = {
        table: database.rows(f"select count(*) from {table} where user_id = %s", who.user_id)[0][0]
        for table in TABLES
    }
    signed = database.rows("select count(*) from user_signatures where signer = %s", who.user_id)[0][0]
    return {table: count for table, count in [*counts.items(), ("user_signatures", signed)] if count}


def test_nothing_is_left_of_a_closed_account(alice: Device, bob: Device, test_database: TestDatabase) -> None:
    equip(alice, bob)
    assert set(left_of(test_database, alice)) >= {*TABLES, "user_signatures"} - {"refresh_tokens"}
    before = left_of(test_database, bob)
    deactivate(alice)
    assert left_of(test_database, alice) == {}
    assert left_of(test_database, bob) == before
    seen = bob.query(alice)
    assert seen["device_keys"] == {alice.user_id: {}}
    assert (seen["master_keys"], seen["self_signing_keys"]) == ({}, {})
    assert bob.claim(alice) == {}
    bob.send(alice, "too late", device="*")
    assert left_of(test_database, alice) == {}


def test_those_who_shared_a_room_are_told(alice: Device, bob: Device) -> None:
    room = alice.public_room()
    bob.join(room)
    equip(alice, bob)

    bob.first_sync()
    deactivate(alice)
    lists = bob.changed()
    assert alice.user_id in lists["changed"] + lists["left"]


def test_cross_signing_keys_alone_are_told_of_too(alice: Device, bob: Device) -> None:
    bob.join(alice.public_room())
    assert Signer(alice).upload().status == 200
    bob.first_sync()
    deactivate(alice)
    assert alice.user_id in bob.changed()["left"]
    assert bob.query(alice)["master_keys"] == {}


def test_what_a_crash_left_of_it_goes_after_the_restart(
    site: SyncSite, alice: Device, bob: Device, test_database: TestDatabase
) -> None:
    equip(alice, bob)
    closed = "update users set deactivated = true, departing = true where user_id = %s"
    test_database.rows(closed, alice.user_id)
    site.start()
    site.app.accounts.upkeep.start()
    site.clock.advance(1)
    assert left_of(test_database, alice) == {}
    assert test_database.rows("select departing from users where user_id = %s", alice.user_id) == [(False,)]


def test_who_was_closed_by_another_node_gets_nothing_new_stored(
    alice: Device, bob: Device, test_database: TestDatabase
) -> None:
    alice.sync()
    test_database.rows("update users set deactivated = true where user_id = %s", alice.user_id)
    assert Signer(alice).upload().errcode == "M_USER_DEACTIVATED"
    body = {"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {}}
    assert alice.here.post(VERSION, body).errcode == "M_USER_DEACTIVATED"
    keys = {"user_id": alice.user_id, "device_id": "X", "algorithms": [], "keys": {}, "signatures": {}}
    device = {"device_id": "X", "device_data": {"algorithm": "x"}, "device_keys": keys}
    assert alice.here.put(DEHYDRATED, device).errcode == "M_USER_DEACTIVATED"


def test_one_failure_does_not_keep_the_rest_from_being_done(site: SyncSite, alice: Device) -> None:
    done: list[str] = []

    async def broken(user_id: UserID) -> None:
        raise RuntimeError("not today")

    async def works(user_id: UserID) -> None:
        done.append(user_id)

    site.app.accounts.accounts.when_deactivated(broken)
    site.app.accounts.accounts.when_deactivated(works)
    deactivate(alice)
    assert done == [alice.user_id]
    result_of(site.app.accounts.accounts.resume_departures())
    assert done == [alice.user_id] * 2
