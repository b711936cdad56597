"""Cross-signing keys and signatures."""

from typing import Any

import pytest

from storage.database import Database
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.e2ee import ED25519, V3, Device, KeyPair
from tests.client_api.sync_site import SyncSite
from tests.harness.client import Reply


class Signer:
    """The cross-signing keys of somebody."""

    def __init__(self, owner: Device, seed: str = "") -> None:
        self.owner = owner
        self.master = KeyPair(f"m{seed}{owner.user_id}")
        self.self_signing = KeyPair(f"s{seed}{owner.user_id}")
        self.user_signing = KeyPair(f"u{seed}{owner.user_id}")

    def key(self, usage: str) -> dict[str, Any]:
        """A public key, signed by the master key unless it is that."""
        pair: KeyPair = getattr(self, usage)
        key = {
            "user_id": self.owner.user_id,
            "usage": [usage],
            "keys": {f"{ED25519}:{pair.public}": pair.public},
        }
        return key if usage == "master" else self.master.signed(self.owner.user_id, key)

    def upload(self, *usages: str, **more: Any) -> Reply:
        """Upload keys, all of them if none is named."""
        usages = usages or ("master", "self_signing", "user_signing")
        body = {f"{usage}_key": self.key(usage) for usage in usages}
        return self.owner.here.post(f"{V3}/keys/device_signing/upload", {**body, **more})


@pytest.fixture
def site(database: Database) -> SyncSite:
    """A server."""
    return SyncSite(database)


def auth(device: Device, session: str) -> dict[str, Any]:
    """The proof of who somebody is."""
    identifier = {"type": "m.id.user", "user": device.user_id}
    return {"type": "m.login.password", "identifier": identifier, "password": PASSWORD, "session": session}


def signatures(device: Device, body: Any) -> Any:
    """Upload signatures; what failed."""
    reply = device.here.post(f"{V3}/keys/signatures/upload", body)
    assert reply.status == 200, reply.text
    return reply.json["failures"]


def test_first_keys_need_no_password_and_are_shown_to_others(alice: Device, bob: Device) -> None:
    signer = Signer(alice)
    assert signer.upload().status == 200
    seen = bob.query(alice)
    assert seen["master_keys"][alice.user_id] == signer.key("master")
    assert seen["self_signing_keys"][alice.user_id] == signer.key("self_signing")
    assert seen["user_signing_keys"] == {}
    assert alice.query(alice)["user_signing_keys"][alice.user_id] == signer.key("user_signing")


def test_the_same_keys_again_need_none_either(alice: Device) -> None:
    assert Signer(alice).upload().status == 200
    assert Signer(alice).upload().status == 200


def test_other_keys_need_the_password(alice: Device, bob: Device) -> None:
    Signer(alice).upload()
    new = Signer(alice, "new")
    refused = new.upload()
    assert refused.status == 401
    assert bob.query(alice)["master_keys"][alice.user_id] == Signer(alice).key("master")
    assert new.upload(auth=auth(alice, refused.json["session"])).status == 200
    assert bob.query(alice)["master_keys"][alice.user_id] == new.key("master")


def test_keys_that_the_master_key_has_not_signed_are_refused(alice: Device) -> None:
    signer = Signer(alice)
    body = {"master_key": signer.key("master"), "self_signing_key": Signer(alice, "x").key("self_signing")}
    reply = alice.here.post(f"{V3}/keys/device_signing/upload", body)
    assert (reply.status, reply.errcode) == (400, "M_INVALID_SIGNATURE")


def test_without_a_master_key_there_are_no_others(alice: Device) -> None:
    assert Signer(alice).upload("self_signing").errcode == "M_MISSING_PARAM"


def test_signed_devices_are_shown_signed_also_after_their_keys_are_uploaded_again(
    alice: Device, bob: Device
) -> None:
    room = alice.public_room()
    bob.join(room)
    signer = Signer(alice)
    signer.upload()
    alice.upload_device_keys()
    bob.first_sync()
    signed = signer.self_signing.signed(alice.user_id, alice.device_keys())
    assert signatures(alice, {alice.user_id: {alice.device_id: signed}}) == {}
    assert bob.changed()["changed"] == [alice.user_id]
    assert bob.query(alice)["device_keys"][alice.user_id][alice.device_id] == signed | {"unsigned": {}}
    alice.upload_device_keys()
    assert bob.query(alice)["device_keys"][alice.user_id][alice.device_id] == signed | {"unsigned": {}}


def test_a_device_signs_the_master_key(alice: Device, bob: Device) -> None:
    signer = Signer(alice)
    signer.upload()
    alice.upload_device_keys()
    signed = alice.identity.signed(alice.user_id, signer.key("master"), alice.device_id)
    assert signatures(alice, {alice.user_id: {signer.master.public: signed}}) == {}
    assert bob.query(alice)["master_keys"][alice.user_id] == signed


def test_who_verified_whom_is_their_own_business(site: SyncSite, alice: Device, bob: Device) -> None:
    hers, his = Signer(alice), Signer(bob)
    hers.upload()
    his.upload()
    second = alice.another()
    second.first_sync()
    signed = hers.user_signing.signed(alice.user_id, his.key("master"))
    assert signatures(alice, {bob.user_id: {his.master.public: signed}}) == {}
    assert second.changed()["changed"] == [bob.user_id]
    assert second.query(bob)["master_keys"][bob.user_id] == signed
    assert bob.query(bob)["master_keys"][bob.user_id] == his.key("master")
    assert Device.register(site, "eve").query(bob)["master_keys"][bob.user_id] == his.key("master")


def test_each_signature_that_cannot_be_taken_is_named_and_the_others_are_taken(
    alice: Device, bob: Device
) -> None:
    signer = Signer(alice)
    signer.upload()
    alice.upload_device_keys()
    good = signer.self_signing.signed(alice.user_id, alice.device_keys())
    forged = Signer(alice, "x").self_signing.signed(alice.user_id, alice.device_keys())
    body = {
        alice.user_id: {alice.device_id: good, "UNKNOWN": good},
        bob.user_id: {"nothing": good},
    }
    failures = signatures(alice, body)
    assert failures[alice.user_id]["UNKNOWN"]["errcode"] == "M_NOT_FOUND"
    assert failures[bob.user_id]["nothing"]["errcode"] == "M_NOT_FOUND"
    assert set(failures[alice.user_id]) == {"UNKNOWN"}
    forged["signatures"][alice.user_id] = {
        f"{ED25519}:{signer.self_signing.public}": list(forged["signatures"][alice.user_id].values())[-1]
    }
    failures = signatures(alice, {alice.user_id: {alice.device_id: forged}})
    assert failures[alice.user_id][alice.device_id]["errcode"] == "M_INVALID_SIGNATURE"


def test_the_old_path_works_too(alice: Device) -> None:
    body = {"master_key": Signer(alice).key("master")}
    reply = alice.here.post("/_matrix/client/unstable/keys/device_signing/upload", body)
    assert reply.status == 200
