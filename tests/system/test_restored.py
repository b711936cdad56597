"""A server whose database is restored from an older backup, with clients and a server that remember what it forgot.

Nothing becomes undecryptable by that: no one-time key is given away twice, devices are known as they are, and messages
to devices arrive.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.postgres_binaries import Binaries, installations
from tests.client_api.e2ee import KeyPair, one_time_keys
from tests.harness.certificates import Authority
from tests.harness.live_client import V3, LiveUser, eventually
from tests.harness.postgres import TestServer
from tests.harness.process import HomeserverProcess, running


def _postgres(program: str, *arguments: str) -> None:
    newest = max(installed := installations())
    subprocess.run([str(Binaries(newest, installed[newest]).path(program)), *arguments], check=True)


@dataclass
class Device:
    """Somebody on a device with keys."""

    user: LiveUser
    device_id: str
    since: str | None = None

    @classmethod
    def begun(cls, user: LiveUser) -> "Device":
        """With its identity keys uploaded."""
        made = cls(user, user.http.call("GET", f"{V3}/account/whoami")["device_id"])
        identity = KeyPair(user.user_id + made.device_id)
        keys = {
            "user_id": user.user_id,
            "device_id": made.device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                f"curve25519:{made.device_id}": "curve" + made.device_id,
                f"ed25519:{made.device_id}": identity.public,
            },
        }
        made.upload(device_keys=identity.signed(user.user_id, keys, made.device_id))
        return made

    def upload(self, **keys: Any) -> None:
        """Upload keys."""
        self.user.http.call("POST", f"{V3}/keys/upload", keys)

    def claim(self, other: "Device") -> str | None:
        """The name of a one-time key of another device."""
        wanted = {other.user.user_id: {other.device_id: "signed_curve25519"}}
        answer = self.user.http.call("POST", f"{V3}/keys/claim", {"one_time_keys": wanted})
        keys = answer["one_time_keys"].get(other.user.user_id, {}).get(other.device_id, {})
        return next((key.partition(":")[2] for key in keys), None)

    def devices_of(self, other: "Device") -> set[str]:
        """Which devices somebody has."""
        asked: Any = {"device_keys": {other.user.user_id: []}}
        answer = self.user.http.call("POST", f"{V3}/keys/query", asked)
        return set(answer["device_keys"].get(other.user.user_id, {}))

    def send(self, other: "Device", text: str) -> None:
        """Send a message to a device."""
        messages = {other.user.user_id: {other.device_id: {"text": text}}}
        self.user.http.call("PUT", f"{V3}/sendToDevice/m.test/{text}", {"messages": messages})

    def sync(self, since: str | None = None) -> Any:
        """Sync from a token, by default the last."""
        answer = self.user.sync(since or self.since)
        self.since = answer["next_batch"]
        return answer


def test_nobody_is_lost_to_a_server_restored_from_a_backup(folder: Path, postgres: TestServer) -> None:
    authority = Authority()
    here = HomeserverProcess(folder / "here", postgres.create_database(), authority)
    there = HomeserverProcess(folder / "there", postgres.create_database(), authority)
    with running(here, there):
        alice, bob = (Device.begun(here.register(name)) for name in ("alice", "bob"))
        carl = Device.begun(there.register("carl"))
        room = alice.user.create(preset="public_chat")
        bob.user.join(room)
        carl.user.join(room, here.server_name)
        alice.upload(one_time_keys=one_time_keys(*(f"{number:02}" for number in range(12))))
        for each in (alice, bob, carl):
            each.sync()
        handed_out = [bob.claim(alice), carl.claim(alice)]
        assert carl.devices_of(alice) == {alice.device_id}
        bob.send(alice, "before")
        dump = str(folder / "dump")
        assert here.dsn is not None
        _postgres("pg_dump", "--format=custom", f"--file={dump}", here.dsn)

        handed_out += [each.claim(alice) for each in (bob, carl, bob, carl)]
        later = Device.begun(LiveUser.login(here.url, "alice", "correct horse battery"))
        eventually(lambda: carl.devices_of(alice) == {alice.device_id, later.device_id}, what="two devices")
        alice.user.say(room, "of this nothing is known later")
        assert [each["content"]["text"] for each in alice.sync()["to_device"]["events"]] == ["before"]
        assert alice.user.user_id in bob.sync()["device_lists"]["changed"]
        forgotten = bob.since
        here.kill()

        again = _restored(here, dump, postgres.create_empty_database())
        with running(again):
            _carry_on(alice, bob, carl, handed_out, room, forgotten)


def _restored(server: HomeserverProcess, dump: str, dsn: str) -> HomeserverProcess:
    """The same server on a database with what was in the dump."""
    _postgres("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={dsn}", dump)
    made = HomeserverProcess(
        server.folder, dsn, server.authority, server.server_name, port=server.port, tls_port=server.tls_port
    )
    command = [sys.executable, "-m", "homeserver", "restored", "-c", str(made.config)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "of the devices of 2 users" in said
    return made


def _carry_on(
    alice: Device, bob: Device, carl: Device, handed_out: list[str | None], room: str, forgotten: str | None
) -> None:
    assert [bob.claim(alice), carl.claim(alice)] == [None, None]
    begun_anew = alice.sync()
    assert begun_anew["device_one_time_keys_count"] == {"signed_curve25519": 0}
    assert room in begun_anew["rooms"]["join"]
    assert "to_device" not in begun_anew
    everybody = {each.user.user_id for each in (alice, bob, carl)}
    assert set(bob.sync()["device_lists"]["changed"]) == everybody

    alice.upload(one_time_keys=one_time_keys("new1", "new2", "new3"))
    handed_out += [bob.claim(alice), carl.claim(alice), bob.claim(alice)]
    assert None not in handed_out
    assert len(set(handed_out)) == len(handed_out)

    eventually(
        lambda: carl.devices_of(alice) == bob.devices_of(alice) == {alice.device_id}, what="one device"
    )
    newest = Device.begun(LiveUser.login(alice.user.url, "alice", "correct horse battery"))
    eventually(lambda: carl.devices_of(alice) == {alice.device_id, newest.device_id}, what="a device more")

    # Who comes late with a token from the past that was lost is told, too, and messages to devices wait for them.
    carl.send(bob, "after")
    texts = eventually(lambda: bob.user.sync(forgotten).get("to_device"), what="the message")
    assert [each["content"]["text"] for each in texts["events"]] == ["after"]
    assert set(bob.sync(forgotten)["device_lists"]["changed"]) == everybody
