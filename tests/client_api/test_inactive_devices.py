"""Devices that nobody uses any more, where the configuration lets them expire."""

import pytest

from homeserver.background.device_upkeep import INTERVAL_S, PAUSE_S
from homeserver.services.inactive_devices import BATCH
from storage.database import Database
from tests.client_api.e2ee import V3, Device, one_time_keys
from tests.client_api.sync_site import SyncSite
from tests.client_api.test_dehydrated_device import keep
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase

DAY_S = 86_400
SETTINGS = {"sessions": {"expire_inactive_devices_after": "30d"}}


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database, SETTINGS)


def start(site: SyncSite) -> None:
    """Begin the upkeep alone: nothing else is to happen by the clock."""
    upkeep = site.app.encryption.upkeep
    assert upkeep is not None
    upkeep.start()


def rest(site: SyncSite, days: int) -> None:
    """Let days go by without it."""
    upkeep = site.app.encryption.upkeep
    assert upkeep is not None
    result_of(upkeep.stop())
    site.clock.advance(days * DAY_S)
    site.start()
    start(site)


def round_of(site: SyncSite) -> None:
    """Let the upkeep go round."""
    site.clock.advance(INTERVAL_S)
    for _ in range(10):
        site.clock.advance(PAUSE_S)


def devices(who: Device) -> set[str]:
    return {each["device_id"] for each in who.here.get(f"{V3}/devices").json["devices"]}


def test_what_was_not_seen_for_long_goes_with_all_that_is_its(
    site: SyncSite, test_database: TestDatabase
) -> None:
    alice, bob = Device.register(site, "alice"), Device.register(site, "bob")
    bob.join(alice.public_room())
    old = alice.another()
    old.upload(device_keys=old.device_keys(), one_time_keys=one_time_keys("A"))
    bob.send(alice, "unread", device="*")
    site.clock.advance(31 * DAY_S)
    alice.sync()
    bob.first_sync()
    result_of(site.app.accounts.last_seen.flush())
    start(site)
    assert devices(alice) == {alice.device_id, old.device_id}  # it has an hour to be seen
    round_of(site)
    assert devices(alice) == {alice.device_id}
    assert old.try_sync().errcode == "M_UNKNOWN_TOKEN"
    assert alice.user_id in bob.changed()["changed"]
    for table in ("one_time_keys", "device_keys", "to_device_messages", "access_tokens"):
        sql = f"select count(*) from {table} where device_id = %s"
        assert test_database.rows(sql, old.device_id) == [(0,)]


def test_what_was_seen_and_what_cannot_be_seen_stays(site: SyncSite, test_database: TestDatabase) -> None:
    alice, bot = Device.register(site, "alice"), Device.register(site, "bot")
    keep(alice)
    test_database.rows("update users set appservice_id = 'bridge' where user_id = %s", bot.user_id)
    site.clock.advance(29 * DAY_S)
    start(site)
    round_of(site)
    assert devices(alice) == {alice.device_id, "SLEEPER"}
    result_of(site.app.accounts.last_seen.flush())
    rest(site, 5)
    round_of(site)
    assert devices(alice) == {alice.device_id, "SLEEPER"}
    assert devices(bot) == {bot.device_id}


def test_many_go_in_small_batches_and_nothing_of_it_twice(
    site: SyncSite, test_database: TestDatabase
) -> None:
    alice = Device.register(site, "alice")
    site.clock.advance(40 * DAY_S)
    test_database.rows(
        "insert into devices (user_id, device_id, created_ts) select %s, 'D' || n, 0 from generate_series(1, %s) n",
        alice.user_id,
        2 * BATCH + 7,
    )
    alice.sync()
    result_of(site.app.accounts.last_seen.flush())
    left = "select count(*) from devices"
    start(site)
    site.clock.advance(INTERVAL_S)
    assert test_database.rows(left) == [(1 + BATCH + 7,)]
    site.clock.advance(PAUSE_S)
    site.clock.advance(PAUSE_S)
    assert test_database.rows(left) == [(1,)]


def test_only_one_node_does_it(site: SyncSite, test_database: TestDatabase) -> None:
    start(site)
    holders = "select holder from leases where name = 'inactive devices'"
    (first,) = test_database.rows(holders)
    site.start()
    start(site)
    assert test_database.rows(holders) == [first]


def test_without_the_setting_nobody_expires(database: Database) -> None:
    assert SyncSite(database).app.encryption.upkeep is None


def test_messages_to_devices_that_are_gone_are_swept_up(site: SyncSite, test_database: TestDatabase) -> None:
    alice, bob = Device.register(site, "alice"), Device.register(site, "bob")
    bob.send(alice, "for her")
    test_database.rows("insert into to_device_messages values (%s, 'GONE', 1, '{}')", alice.user_id)
    result_of(site.app.encryption.to_device.expire())
    assert test_database.rows("select device_id from to_device_messages") == [(alice.device_id,)]
