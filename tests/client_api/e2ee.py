"""Keys as clients make them, and people with several devices."""

from typing import Any
from urllib.parse import quote

from homeserver.protocol.base64 import encode_base64
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.events.signing import with_signature
from homeserver.protocol.signing_keys import SigningKey
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.client import Reply

V3 = "/_matrix/client/v3"
ED25519 = "ed25519"
NOTHING_NEW = {"next_batch", "device_one_time_keys_count", "device_unused_fallback_key_types"}
"""What a sync answers if nothing happened."""


class KeyPair:
    """An ed25519 key pair that is the same in every run."""

    def __init__(self, seed: str) -> None:
        self._key = SigningKey("x", seed.encode().ljust(32, b".")[:32])
        self.public = encode_base64(self._key.verify_key.public)

    def signed(self, user_id: str, obj: dict[str, Any], name: str | None = None) -> dict[str, Any]:
        """The object with a signature by this key."""
        plain = {key: value for key, value in obj.items() if key not in ("signatures", "unsigned")}
        signature = self._key.sign(encode_canonical(plain))
        return with_signature(obj, user_id, f"{ED25519}:{name or self.public}", signature)


class Device(Syncer):
    """Somebody on one of their devices."""

    def __init__(self, site: SyncSite, answer: dict[str, Any]) -> None:
        super().__init__(site, answer)
        self.identity = KeyPair(self.user_id + self.device_id)

    @classmethod
    def register(cls, site: SyncSite, name: str) -> "Device":
        """Somebody new."""
        body = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        return cls(site, _good(site.http.post(f"{V3}/register", body)))

    def another(self) -> "Device":
        """The same person on a further device."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self.user_id},
            "password": PASSWORD,
        }
        return Device(self.sync_site, _good(self.sync_site.http.post(f"{V3}/login", body)))

    def device_keys(self, **more: Any) -> dict[str, Any]:
        """The identity keys of the device, signed by itself."""
        keys = {
            "user_id": self.user_id,
            "device_id": self.device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                f"curve25519:{self.device_id}": "curve" + self.device_id,
                f"{ED25519}:{self.device_id}": self.identity.public,
            },
            **more,
        }
        return self.identity.signed(self.user_id, keys, self.device_id)

    def upload(self, **body: Any) -> Any:
        """Upload keys; the counts."""
        return _good(self.try_upload(**body))["one_time_key_counts"]

    def try_upload(self, **body: Any) -> Reply:
        """Try to."""
        return self.here.post(f"{V3}/keys/upload", body)

    def upload_device_keys(self) -> None:
        """Upload the identity keys."""
        self.upload(device_keys=self.device_keys())

    def query(self, *others: "Device") -> Any:
        """Ask for the keys of people."""
        body: dict[str, Any] = {"device_keys": {other.user_id: [] for other in others}}
        return _good(self.here.post(f"{V3}/keys/query", body))

    def claim(self, other: "Device", algorithm: str = "signed_curve25519") -> dict[str, Any]:
        """Claim a key of a device; by key ID."""
        body = {"one_time_keys": {other.user_id: {other.device_id: algorithm}}}
        keys = _good(self.here.post(f"{V3}/keys/claim", body))["one_time_keys"]
        found: dict[str, Any] = keys.get(other.user_id, {}).get(other.device_id, {})
        return found

    def try_send(self, event_type: str, messages: Any, txn: str | None = None) -> Reply:
        """Try to send messages to devices."""
        txn = txn or self.sync_site.next_transaction()
        return self.here.put(f"{V3}/sendToDevice/{quote(event_type)}/{txn}", {"messages": messages})

    def send(self, other: "Device", text: str, device: str | None = None, txn: str | None = None) -> None:
        """Send a text to a device."""
        messages = {other.user_id: {device or other.device_id: {"text": text}}}
        _good(self.try_send("m.test", messages, txn))

    def send_encrypted(self, other: "Device", kind: object, body: str, device: str | None = None) -> None:
        """Send a message by Olm; 0 is the kind of those that begin a session."""
        ciphertext = {f"curve{other.device_id}": {"type": kind, "body": body}}
        content = {
            "algorithm": "m.olm.v1.curve25519-aes-sha2",
            "sender_key": f"curve{self.device_id}",
            "ciphertext": ciphertext,
            "text": body,
        }
        messages = {other.user_id: {device or other.device_id: content}}
        _good(self.try_send("m.room.encrypted", messages))

    def changed(self) -> Any:
        """The `device_lists` of a sync."""
        lists = self.sync().get("device_lists")
        return {} if lists is None else {"changed": [], "left": [], **lists}


def texts_to(answer: Any) -> list[str]:
    """The texts that an answer of `/sync` delivers to the device."""
    return [event["content"]["text"] for event in answer.get("to_device", {}).get("events", [])]


def one_time_keys(*names: str, prefix: str = "key") -> dict[str, Any]:
    """One-time keys by ID."""
    return {f"signed_curve25519:{name}": {"key": f"{prefix}{name}", "signatures": {}} for name in names}


def _good(reply: Reply) -> Any:
    assert reply.status == 200, f"{reply.status} {reply.text}"
    return reply.json
