"""People who talk in secret with matrix-nio, whose cryptography is vodozemac: one object a device."""

from pathlib import Path
from typing import Any

import nio

from tests.harness.nio import NioPerson, expect

PASSPHRASE = "a passphrase for exported keys"


class SecretDevice(NioPerson):
    """Somebody on one of their devices."""

    def __init__(self, url: str, name: str, folder: Path) -> None:
        super().__init__(url, name, folder)
        self.url = url
        self.folder = folder
        self.sealed: list[tuple[str, nio.MegolmEvent]] = []
        self.client.add_event_callback(self._sealed, nio.MegolmEvent)

    @classmethod
    async def new_user(cls, url: str, name: str, folder: Path) -> "SecretDevice":
        """Somebody new, whose keys are uploaded."""
        made = cls(url, name, folder)
        await made.register()
        return await made._begun()

    async def another(self) -> "SecretDevice":
        """The same person on a further device."""
        made = SecretDevice(self.url, self.name, self.folder)
        await made.login()
        return await made._begun()

    async def again(self) -> "SecretDevice":
        """The same device, after its program was started anew: it knows what is in its store."""
        await self.close()
        made = SecretDevice(self.url, self.name, self.folder)
        made.client.restore_login(self.user_id, self.device_id, self.client.access_token)
        return await made._begun()

    @property
    def device_id(self) -> str:
        """The device."""
        return str(self.client.device_id)

    async def say(self, room: str, text: str) -> str:
        """Send a text, encrypted for all devices, verified or not; the event's ID."""
        content = {"msgtype": "m.text", "body": text}
        sending = self.client.room_send(room, "m.room.message", content, ignore_unverified_devices=True)
        return str(expect(await sending, nio.RoomSendResponse).event_id)

    def read(self, room: str) -> list[str]:
        """All texts of a room that could be read, those last whose keys came last."""
        for sealed in list(self.sealed):
            try:
                event: Any = self.client.decrypt_event(sealed[1])
            except nio.EncryptionError:
                continue
            self.sealed.remove(sealed)
            self.texts.append((sealed[0], event.sender, event.body))
        return [text for where, _, text in self.texts if where == room]

    async def reads(self, room: str, text: str) -> None:
        """Wait for a text."""
        await self.until(lambda: text in self.read(room), text)

    async def knows(self, *devices: "SecretDevice") -> None:
        """Wait until the devices that these users have are known, and no others of them."""
        users = {each.user_id for each in devices}
        wanted = {(each.user_id, each.device_id) for each in devices}
        await self.until(lambda: self._known(users) == wanted, f"the devices {wanted}")

    async def history(self, room: str) -> list[str]:
        """The texts of a room's whole history, oldest first. Raises EncryptionError for what cannot be read."""
        found: list[str] = []
        start = None
        while True:
            page = expect(await self.client.room_messages(room, start, limit=100), nio.RoomMessagesResponse)
            for event in page.chunk:
                opened: Any = (
                    self.client.decrypt_event(event) if isinstance(event, nio.MegolmEvent) else event
                )
                if isinstance(opened, nio.RoomMessageText):
                    found.append(opened.body)
            if not page.end:
                return found[::-1]
            start = page.end

    async def log_out(self) -> None:
        """Give the device up."""
        await self.stop()
        expect(await self.client.logout(), nio.LogoutResponse)

    async def hand_keys_to(self, other: "SecretDevice", file: Path) -> None:
        """Export all keys to messages, and have another device import them."""
        await self.client.export_keys(str(file), PASSPHRASE, count=1000)
        await other.client.import_keys(str(file), PASSPHRASE)

    async def verify(self, other: "SecretDevice") -> None:
        """Compare emoji with another device."""
        expect(
            await self.client.start_key_verification(
                self.client.device_store[other.user_id][other.device_id]
            ),
            nio.ToDeviceResponse,
        )
        await other.until(lambda: other._comparing(self), "the verification")
        transaction = other._comparing(self).transaction_id
        await other.client.accept_key_verification(transaction)
        await self.until(lambda: self._comparing(other).established_sas, "the other's key")
        await other.until(lambda: other._comparing(self).established_sas, "the other's key")
        assert self._comparing(other).get_emoji() == other._comparing(self).get_emoji()
        for one in (self, other):
            expect(await one.client.confirm_short_auth_string(transaction), nio.ToDeviceResponse)
        await self.until(lambda: self.trusts(other), "that the device is verified")
        await other.until(lambda: other.trusts(self), "that the device is verified")

    def trusts(self, other: "SecretDevice") -> bool:
        """Whether a device is verified."""
        return bool(self.client.device_store[other.user_id][other.device_id].verified)

    def _comparing(self, other: "SecretDevice") -> Any:
        return self.client.get_active_sas(other.user_id, other.device_id)

    def _known(self, users: set[str]) -> set[tuple[str, str]]:
        """Devices that are known, and the own one, of which there is no record."""
        store = self.client.device_store
        known = {(each.user_id, each.id) for user in users for each in store.active_user_devices(user)}
        return known | ({(self.user_id, self.device_id)} if self.user_id in users else set())

    async def _begun(self) -> "SecretDevice":
        self.follow()
        await self.until(lambda: self.client.olm and self.client.olm_account_shared, "its own keys")
        return self

    async def _sealed(self, room: Any, event: nio.MegolmEvent) -> None:
        self.sealed.append((room.room_id, event))
