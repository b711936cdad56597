"""`homeserver doctor e2ee USER`: what is told of a user's end-to-end encryption."""

from collections.abc import Callable
from pathlib import Path

import pytest

from homeserver.app.cli import main
from storage.database import Database
from tests.client_api.e2ee import Device, one_time_keys
from tests.client_api.sync_site import SyncSite
from tests.client_api.test_cross_signing import Signer
from tests.client_api.test_dehydrated_device import keep
from tests.client_api.test_key_backup import create, put, session
from tests.harness.postgres import TestDatabase

Ask = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def site(database: Database) -> SyncSite:
    return SyncSite(database)


@pytest.fixture
def ask(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    test_database: TestDatabase,
) -> Ask:
    """Runs the command; its status and lines."""
    monkeypatch.chdir(tmp_path)
    Path("homeserver.yaml").write_text(f"server_name: test\ndatabase: {test_database.dsn!r}\n")

    def run(*arguments: str) -> tuple[int, list[str]]:
        capsys.readouterr()
        status = main(["doctor", "e2ee", *arguments])
        printed = capsys.readouterr()
        return status, (printed.out + printed.err).splitlines()

    return run


def of(lines: list[str], subject: str) -> list[str]:
    """The lines about something."""
    return [line for line in lines if line.split()[1:2] == [subject]]


def test_a_user_in_order(site: SyncSite, ask: Ask) -> None:
    alice = Device.register(site, "alice")
    assert Signer(alice).upload().status == 200
    alice.upload(
        device_keys=alice.device_keys(),
        one_time_keys=one_time_keys("A", "B"),
        fallback_keys=one_time_keys("F"),
    )
    signed = Signer(alice).self_signing.signed(alice.user_id, alice.device_keys())
    body = {alice.user_id: {alice.device_id: signed}}
    assert alice.here.post("/_matrix/client/v3/keys/signatures/upload", body).json == {"failures": {}}
    put(alice, create(alice), {"rooms": {"!r:test": {"sessions": {"s": session()}}}})
    status, lines = ask("alice")
    assert status == 0, lines
    assert "ok    account      @alice:test" in lines
    (device,) = of(lines, "device")
    assert device.startswith(f"ok    device       {alice.device_id}, last seen ")
    assert device.endswith("2 one-time keys, an unused fallback key, cross-signed")
    assert of(lines, "signing") == ["ok    signing      all cross-signing keys are there"]
    assert of(lines, "backup") == ["ok    backup       version 1 has 1 sessions (state 1)"]
    assert lines[-1].startswith("0 to be mended, 0 to be looked at")


def test_a_user_without_anything(site: SyncSite, ask: Ask) -> None:
    alice = Device.register(site, "alice")
    status, lines = ask("@alice:test", "-c", "homeserver.yaml")
    assert status == 0
    assert of(lines, "device")[0].endswith("a session without encryption")
    assert of(lines, "signing")[0].startswith("warn")
    assert of(lines, "backup")[0].startswith("warn")
    alice.here.post("/_matrix/client/v3/logout")
    assert of(ask("alice")[1], "device")[0].startswith("warn  device       there is none")


def test_what_is_wrong_is_told_with_its_remedy(site: SyncSite, ask: Ask, test_database: TestDatabase) -> None:
    alice = Device.register(site, "alice")
    bob = Device.register(site, "bob")
    assert Signer(alice).upload("master", "self_signing").status == 200
    alice.upload_device_keys()
    unsigned = alice.another()
    unsigned.upload(device_keys=unsigned.device_keys(), one_time_keys=one_time_keys("A"))
    lives_on = alice.another()
    lives_on.upload(device_keys=lives_on.device_keys(), fallback_keys=one_time_keys("F"))
    bob.claim(lives_on)
    keep(alice)
    bob.send(alice, "x", device="*")
    status, lines = ask("alice")
    assert status == 1
    by_device = {line.split()[2].rstrip(","): line for line in of(lines, "device")}
    assert by_device[alice.device_id].startswith("fail")
    assert "nobody new can write to it -> start the client there" in by_device[alice.device_id]
    assert "not cross-signed: others may refuse" in by_device[unsigned.device_id]
    assert "a used fallback key: it lives on that one" in by_device[lives_on.device_id]
    assert "dehydrated" in by_device["SLEEPER"]
    assert of(lines, "signing")[0].startswith(
        "fail  signing      of the cross-signing keys there is no user_signing key"
    )
    waiting = of(lines, "messages")
    assert len(waiting) == 4
    assert {line.split()[0] for line in waiting} == {"ok", "warn"}  # the site's clock stands in the past
    assert next(line for line in waiting if "SLEEPER" in line).startswith("ok")


def test_what_other_servers_owe_and_are_owed(site: SyncSite, ask: Ask, test_database: TestDatabase) -> None:
    alice = Device.register(site, "alice")
    room = alice.public_room()
    rows = test_database.rows
    rows(
        """insert into memberships (room_id, user_id, server, membership, event_nid, sender, pos, local)
           values (%s, '@carl:far.example', 'far.example', 'join', 1, '@carl:far.example', 1, false)""",
        room,
    )
    rows(
        "insert into remote_device_lists (user_id, stale_since, failures) values ('@carl:far.example', 1000, 3)"
    )
    rows("insert into remote_device_lists (user_id, stale_since) values ('@else:far.example', 1000)")
    rows("insert into device_list_outbox values ('far.example', %s, 'X', 1)", alice.user_id)
    messages = {"@carl:far.example": {"Y": {"text": "hello"}}, "@dora:near.example": {"Z": {"text": "hello"}}}
    assert alice.try_send("m.test", messages).status == 200
    rows("delete from destinations")
    rows("insert into destinations values ('far.example', 1000, 2000, 500)")
    status, lines = ask("alice")
    assert status == 0
    (stale,) = of(lines, "lists")
    assert (
        "of @carl:far.example may have changed since 1970-01-01 00:00 UTC; asked 3 times in vain, again now"
        in stale
    )
    assert stale.endswith("-> homeserver federation check far.example")
    failing, on_their_way = of(lines, "owed")
    assert failing.startswith("warn")
    assert (
        "1 changes of devices and 1 batches of messages wait for far.example, which has not answered"
        in failing
    )
    assert on_their_way.endswith("wait for near.example, on their way")


def test_nobody_of_that_name(ask: Ask) -> None:
    assert ask("nobody") == (1, ["homeserver: there is no user nobody"])
