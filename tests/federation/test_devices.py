"""Keys, device lists and messages to devices between two servers."""

from typing import Any

import pytest

from homeserver.protocol.identifiers import UserID
from storage.tables.remote_devices import RemoteDevices
from tests.client_api.e2ee import one_time_keys, texts_to
from tests.federation.whole_servers import Person, WholeServer, World, eventually, in_world
from tests.harness.outside import reactor


class Encrypting:
    """A person as their device."""

    def __init__(self, person: Person, device_id: str) -> None:
        self.person = person
        self.user_id = person.user_id
        self.device_id = device_id
        self.since: str | None = None
        self.heard: list[str] = []
        self.changed: set[str] = set()
        self.left: set[str] = set()

    def keys(self, curve: str = "curve") -> dict[str, Any]:
        """Identity keys."""
        return {
            "user_id": self.user_id,
            "device_id": self.device_id,
            "algorithms": ["m.megolm.v1.aes-sha2"],
            "keys": {f"curve25519:{self.device_id}": curve},
            "signatures": {},
        }

    async def upload(self, **body: Any) -> Any:
        """Upload keys."""
        return await self.person.do("POST", "/keys/upload", body)

    async def upload_keys(self, curve: str = "curve") -> None:
        """Upload the identity keys."""
        await self.upload(device_keys=self.keys(curve))

    async def query(self, other: "Encrypting", **more: Any) -> Any:
        """Ask for somebody's keys."""
        return await self.person.do("POST", "/keys/query", {"device_keys": {other.user_id: []}, **more})

    async def curve_of(self, other: "Encrypting") -> str | None:
        """The identity key of somebody's device, as it is known here."""
        devices = (await self.query(other))["device_keys"].get(other.user_id, {})
        keys = devices.get(other.device_id)
        return None if keys is None else str(keys["keys"][f"curve25519:{other.device_id}"])

    async def claim(self, other: "Encrypting", **more: Any) -> Any:
        """Claim a key."""
        body = {"one_time_keys": {other.user_id: {other.device_id: "signed_curve25519"}}, **more}
        return await self.person.do("POST", "/keys/claim", body)

    async def send(self, other: "Encrypting", text: str, device: str | None = None) -> None:
        """Send a message to a device."""
        txn = self.person.server.world.transaction()
        body = {"messages": {other.user_id: {device or other.device_id: {"text": text}}}}
        await self.person.do("PUT", f"/sendToDevice/m.test/{txn}", body)

    async def sync(self) -> Any:
        """Sync, and take in what is told."""
        answer = await self.person.sync(self.since)
        self.since = answer["next_batch"]
        self.heard += texts_to(answer)
        lists = answer.get("device_lists", {})
        self.changed.update(lists.get("changed", ()))
        self.left.update(lists.get("left", ()))
        return answer

    async def hears(self, *texts: str) -> None:
        """Wait for messages."""

        async def heard() -> bool:
            await self.sync()
            return self.heard == list(texts)

        await eventually(heard)

    async def notices(self, other: "Encrypting", *, gone: bool = False) -> None:
        """Wait to be told that somebody's devices changed."""

        async def noticed() -> bool:
            await self.sync()
            return other.user_id in (self.left if gone else self.changed)

        await eventually(noticed)
        self.changed.clear()
        self.left.clear()

    async def sees(self, other: "Encrypting", curve: str | None) -> None:
        """Wait until somebody's device is known here as it is."""

        async def seen() -> bool:
            return await self.curve_of(other) == curve

        await eventually(seen)


async def encrypting(server: WholeServer, name: str) -> Encrypting:
    """Somebody new."""
    person = await server.person(name)
    who = await person.do("GET", "/account/whoami")
    return Encrypting(person, who["device_id"])


@pytest.mark.usefixtures("internet")
class DevicesTest(World):
    """Alice is on one server, Bob on the other."""

    async def two(self) -> tuple[Encrypting, Encrypting, str]:
        """Both, and a room that they share."""
        alpha, beta = await self.two_servers()
        alice, bob = await encrypting(alpha, "alice"), await encrypting(beta, "bob")
        room = await alice.person.public_room()
        await bob.person.join(room, alpha)

        async def are_known() -> bool:
            lists = "select stale_since from remote_device_lists where user_id = %s"
            return alpha.database.rows(lists, bob.user_id) == [(None,)]

        await eventually(are_known)
        await alice.sync()
        await bob.sync()
        return alice, bob, room

    @in_world
    async def test_keys_are_asked_for_and_claimed_across_servers(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await encrypting(alpha, "alice"), await encrypting(beta, "bob")
        await bob.upload(device_keys=bob.keys(), one_time_keys=one_time_keys("A", "B"))
        assert await alice.curve_of(bob) == "curve"
        claimed = [await alice.claim(bob) for _ in range(3)]
        found = [each["one_time_keys"].get(bob.user_id, {}).get(bob.device_id) for each in claimed]
        assert [None if keys is None else list(keys) for keys in found] == [
            ["signed_curve25519:A"],
            ["signed_curve25519:B"],
            None,
        ]

    @in_world
    async def test_a_server_that_is_away_is_named(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await encrypting(alpha, "alice"), await encrypting(beta, "bob")
        beta.cut_off()
        assert list((await alice.query(bob, timeout=100))["failures"]) == ["beta.example"]
        assert list((await alice.claim(bob, timeout=100))["failures"]) == ["beta.example"]

    @in_world
    async def test_a_server_that_is_away_for_a_moment_is_waited_for(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await encrypting(alpha, "alice"), await encrypting(beta, "bob")
        await bob.upload(device_keys=bob.keys(), one_time_keys=one_time_keys("A"))
        beta.cut_off()
        reactor.callLater(0.2, beta.reconnect)
        answer = await alice.claim(bob)
        assert answer["failures"] == {}
        assert list(answer["one_time_keys"][bob.user_id][bob.device_id]) == ["signed_curve25519:A"]
        assert await alice.curve_of(bob) == "curve"

    @in_world
    async def test_who_waits_does_not_wait_for_the_end_of_a_pause(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await encrypting(alpha, "alice"), await encrypting(beta, "bob")
        await bob.upload(one_time_keys=one_time_keys("A"))
        health = alpha.app.transport.health
        for _ in range(3):
            health.failed(health.admit(beta.name, despite_pause=True))
        pause_ends = health.retry_at_ms(beta.name)
        answer = await alice.claim(bob)
        assert answer["failures"] == {}
        assert list(answer["one_time_keys"][bob.user_id][bob.device_id]) == ["signed_curve25519:A"]
        assert pause_ends is not None
        assert pause_ends > alpha.world.clock.now_ms()

    @in_world
    async def test_a_server_that_is_away_for_long_is_not_waited_for(self) -> None:
        alpha, beta = await self.two_servers()
        alice, bob = await encrypting(alpha, "alice"), await encrypting(beta, "bob")
        health = alpha.app.transport.health
        for _ in range(8):
            health.failed(health.admit(beta.name, despite_pause=True))
        assert list((await alice.claim(bob))["failures"]) == ["beta.example"]

    @in_world
    async def test_changes_of_devices_are_told_and_the_list_kept_in_step(self) -> None:
        alice, bob, _ = await self.two()
        await bob.upload_keys()
        await alice.notices(bob)
        await alice.sees(bob, "curve")
        await bob.upload_keys("new")
        await alice.notices(bob)
        await alice.sees(bob, "new")
        bob.person.server.cut_off()
        answer = await alice.query(bob)
        assert answer["failures"] == {}
        assert bob.device_id in answer["device_keys"][bob.user_id]

    @in_world
    async def test_a_change_is_told_once_and_of_devices_without_keys_nothing(self) -> None:
        alice, bob, _ = await self.two()

        alice.changed.clear()
        await alice.sync()
        assert alice.changed == set()
        await bob.upload_keys()
        await alice.notices(bob)
        assert await alice.curve_of(bob) == "curve"
        await alice.sync()
        assert alice.changed == set()
        await bob.person.do("PUT", f"/devices/{bob.device_id}", {"display_name": "phone"})
        await alice.notices(bob)
        keys = (await alice.query(bob))["device_keys"][bob.user_id][bob.device_id]
        assert keys["unsigned"]["device_display_name"] == "phone"

    @in_world
    async def test_a_device_that_logs_out_is_gone_elsewhere(self) -> None:
        alice, bob, _ = await self.two()
        await bob.upload_keys()
        await alice.sees(bob, "curve")
        await bob.person.do("POST", "/logout")
        await alice.sees(bob, None)

    @in_world
    async def test_a_closed_account_has_no_devices_elsewhere(self) -> None:
        alice, bob, _ = await self.two()
        await bob.upload_keys()
        await alice.sees(bob, "curve")
        identifier = {"type": "m.id.user", "user": bob.user_id}
        auth = {"type": "m.login.password", "identifier": identifier, "password": "correct horse"}
        await bob.person.do("POST", "/account/deactivate", {"auth": auth})
        await alice.notices(bob, gone=True)
        await alice.sees(bob, None)
        kept = "select count(*) from remote_devices where user_id = %s"
        assert alice.person.server.database.rows(kept, bob.user_id) == [(0,)]

    @in_world
    async def test_what_was_missed_is_fetched(self) -> None:
        alice, bob, _ = await self.two()
        await bob.upload_keys()
        await alice.sees(bob, "curve")
        await alice.person.server.stop()
        await bob.upload_keys("second")
        await bob.upload_keys("third")
        await alice.person.server.start()
        bob.person.server.app.transport.health.heard_from(alice.person.server.name)
        await alice.sees(bob, "third")

    @in_world
    async def test_who_shares_no_room_any_more_is_forgotten(self) -> None:
        alice, bob, room = await self.two()
        await bob.upload_keys()
        await alice.sees(bob, "curve")
        await bob.person.act(room, "leave")
        await alice.notices(bob, gone=True)
        await bob.upload_keys("new")
        await alice.sees(bob, "new")
        kept = await alice.person.server.storage.read(
            lambda tx: RemoteDevices(tx).lists([UserID(bob.user_id)])
        )
        assert kept == []

    @in_world
    async def test_who_comes_back_is_known_as_they_are(self) -> None:
        alice, bob, room = await self.two()
        await bob.upload_keys()
        await alice.sees(bob, "curve")
        await bob.person.act(room, "leave")
        await alice.notices(bob, gone=True)
        await bob.upload_keys("new")
        await bob.person.join(room, alice.person.server)
        await alice.notices(bob)
        await alice.sees(bob, "new")

    @in_world
    async def test_messages_reach_devices_elsewhere_once_and_in_order(self) -> None:
        alice, bob, _ = await self.two()
        for number in range(5):
            await alice.send(bob, str(number))
        await alice.send(bob, "all", device="*")
        await bob.hears("0", "1", "2", "3", "4", "all")

        async def nothing_is_owed() -> bool:
            return not alice.person.server.database.rows("select 1 from to_device_outbox")

        await eventually(nothing_is_owed)

    @in_world
    async def test_messages_survive_restarts_of_both(self) -> None:
        alice, bob, _ = await self.two()
        await bob.person.server.stop()
        await alice.send(bob, "one")
        await alice.send(bob, "two")
        await alice.person.server.stop()
        await bob.person.server.start()
        await alice.person.server.start()
        alice.person.server.app.transport.health.heard_from(bob.person.server.name)
        await bob.hears("one", "two")

    @in_world
    async def test_cross_signing_keys_are_told(self) -> None:
        alice, bob, _ = await self.two()
        await bob.upload_keys()
        await alice.sees(bob, "curve")
        await alice.notices(bob)
        master = {
            "user_id": bob.user_id,
            "usage": ["master"],
            "keys": {"ed25519:abc": "abc"},
        }
        await bob.person.do("POST", "/keys/device_signing/upload", {"master_key": master})
        await alice.notices(bob)
        assert (await alice.query(bob))["master_keys"] == {bob.user_id: {**master}}
