"""`homeserver restored`: a database from a backup is made fit to be served again."""

from pathlib import Path
from urllib.parse import quote

import pytest

from homeserver.app.cli import main
from homeserver.protocol.identifiers import ServerName
from homeserver.services.restoration import STEP
from storage.database import Database
from tests.client_api.e2ee import V3, Device, one_time_keys, texts_to
from tests.client_api.sync_site import SyncSite, state_of, texts
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase

SLIDING = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"


@pytest.fixture(autouse=True)
def _configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test_database: TestDatabase) -> None:
    monkeypatch.chdir(tmp_path)
    Path("homeserver.yaml").write_text(f"server_name: test\ndatabase: {test_database.dsn!r}\n")


def test_no_key_of_before_is_given_away_and_clients_upload_new_ones(database: Database) -> None:
    site = SyncSite(database)
    alice, bob = Device.register(site, "alice"), Device.register(site, "bob")
    alice.upload(
        device_keys=alice.device_keys(),
        one_time_keys=one_time_keys("A", "B"),
        fallback_keys=one_time_keys("F"),
    )
    assert main(["restored"]) == 0
    site.start()
    assert alice.first_sync()["device_one_time_keys_count"] == {"signed_curve25519": 0}
    assert [key.partition(":")[2] for key in bob.claim(alice)] == ["F"]
    alice.upload(one_time_keys=one_time_keys("C"))
    assert [key.partition(":")[2] for key in bob.claim(alice)] == ["C"]


def test_a_server_that_runs_notices(database: Database) -> None:
    site = SyncSite(database)
    alice = Device.register(site, "alice")
    alice.upload(device_keys=alice.device_keys(), one_time_keys=one_time_keys("A"))
    assert alice.first_sync()["device_one_time_keys_count"] == {"signed_curve25519": 1}
    assert main(["restored"]) == 0
    Device.register(site, "bob").upload(one_time_keys=one_time_keys("X"))
    assert alice.sync()["device_one_time_keys_count"] == {"signed_curve25519": 0}


def test_others_are_told_of_all_devices_under_numbers_that_are_new_and_asked_for_theirs(
    database: Database, test_database: TestDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    site = SyncSite(database)
    alice = Device.register(site, "alice")
    room = alice.public_room()
    alice.upload_device_keys()
    rows = test_database.rows
    rows(
        "insert into room_servers (room_id, server, joined_members, joined_pos) values (%s, 'far.example', 1, 1)",
        room,
    )
    rows("insert into device_list_sent values ('far.example', %s, 5)", alice.user_id)
    rows("insert into remote_device_lists (user_id, stream_id) values ('@carl:far.example', 7)")
    capsys.readouterr()
    assert main(["restored"]) == 0
    assert "of the devices of 1 users" in capsys.readouterr().out
    owed = rows(
        "select user_id, device_id from device_list_outbox where destination = 'far.example' order by 2"
    )
    assert owed == [(alice.user_id, ""), (alice.user_id, alice.device_id)]
    assert rows("select 1 from remote_device_lists where stale_since is null") == []
    site.start()

    _, told = result_of(site.app.encryption.exchange.owed(ServerName("far.example"), 10))
    (update,) = [edu["content"] for edu in told if edu["edu_type"] == "m.device_list_update"]
    assert update["stream_id"] > STEP
    assert update["prev_id"] == []


def test_who_has_a_token_of_the_past_that_was_lost_begins_anew(database: Database) -> None:
    site = SyncSite(database)
    alice, bob = Device.register(site, "alice"), Device.register(site, "bob")
    room = alice.public_room()
    bob.join(room)
    known = str(alice.first_sync()["next_batch"])
    forgotten = known.replace(f"m{site.journal.position}_", f"m{site.journal.position + 5}_")
    bob.send(alice, "before")
    assert main(["restored"]) == 0
    site.start()
    bob.reconnect()
    for _ in range(10):
        bob.say(room, "after")
    for each in (forgotten, forgotten):
        answer = alice.sync(each)
        assert ("m.room.create", "") in state_of(answer["rooms"]["join"][room])
        assert set(answer["device_lists"]["changed"]) == {alice.user_id, bob.user_id}
        assert texts_to(answer) == []
    answer = alice.sync(known)
    assert len(texts(answer["rooms"]["join"][room])) == 10
    assert "device_lists" not in answer


def test_who_asks_for_changes_since_then_has_to_look_at_everybody(database: Database) -> None:
    site = SyncSite(database)
    alice, bob, _ = (Device.register(site, name) for name in ("alice", "bob", "stranger"))
    bob.join(alice.public_room())
    known = str(alice.first_sync()["next_batch"])
    forgotten = known.replace(f"m{site.journal.position}_", f"m{site.journal.position + 5}_")
    bob.upload_device_keys()
    assert main(["restored"]) == 0
    site.start()
    alice.reconnect()

    def changed(since: str) -> set[str]:
        return set(alice.here.get(f"{V3}/keys/changes", {"from": since, "to": since}).json["changed"])

    assert changed(forgotten) == {alice.user_id, bob.user_id}
    assert changed(known) == {bob.user_id}


def test_a_position_of_sliding_sync_of_the_past_that_was_lost_is_unknown(database: Database) -> None:
    site = SyncSite(database)
    alice = Device.register(site, "alice")
    alice.public_room()
    body = {"lists": {"all": {"ranges": [[0, 9]], "timeline_limit": 1, "required_state": []}}}
    known = alice.here.post(SLIDING, body).json["pos"]
    forgotten = known.replace(f"m{site.journal.position}_", f"m{site.journal.position + 5}_")
    assert main(["restored"]) == 0
    site.start()
    alice.reconnect()
    alice.public_room()
    assert alice.here.post(f"{SLIDING}?pos={quote(forgotten)}", body).json["errcode"] == "M_UNKNOWN_POS"
    assert alice.here.post(f"{SLIDING}?pos={quote(known)}", body).status == 200


def test_it_may_be_done_again_and_on_an_empty_database(database: Database) -> None:
    assert [main(["restored"]), main(["restored"])] == [0, 0]
    site = SyncSite(database)
    assert Device.register(site, "alice").here.get(f"{V3}/account/whoami").status == 200
