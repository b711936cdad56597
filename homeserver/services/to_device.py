"""Messages from device to device: durable, in order, each taken once, kept until the recipient surely has it.

https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging,
https://spec.matrix.org/v1.19/server-server-api/#send-to-device-messaging
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.clock import Clock, Randomness
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import BadJson, InvalidParam
from homeserver.protocol.identifiers import DeviceID, ServerName, UserID, is_user_id, server_of
from homeserver.protocol.requester import Requester
from homeserver.services.device_writes import DeviceWrite, written
from storage.database import Database
from storage.journal import Journal, RunResult
from storage.query import Entry
from storage.tables.device_keys import DEVICE_WRITES
from storage.tables.to_device import INBOX, OUTBOX
from storage.tables.to_device import ToDevice as StoredMessages
from storage.transaction import Transaction

Json = dict[str, Any]
Messages = Mapping[str, Mapping[str, Json]]
"""Contents by user and device; the device `*` stands for all of a user's."""

EVERY_DEVICE: Final = "*"
MAX_PART_BYTES: Final = 49_152
"""Contents that go into one EDU."""
MAX_TYPE_BYTES: Final = 255
REMEMBERED_MS: Final = 7 * 24 * 3600 * 1000
"""How long a request is known that may be repeated."""


@dataclass(frozen=True, slots=True)
class _Sending:
    """``key`` tells the request from others of the same ``sender_key``."""

    sender: UserID
    type: str
    messages: Messages
    sender_key: str
    key: str


class ToDevice:
    """Sends messages to devices, and takes those of other servers."""

    def __init__(
        self, server_name: ServerName, database: Database, journal: Journal, clock: Clock, random: Randomness
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._journal = journal
        self._clock = clock
        self._random = random

    async def send(self, who: Requester, event_type: str, txn_id: str, messages: object) -> None:
        """Send to devices here and elsewhere; repeated with the same transaction ID, nothing more happens.

        Raises BadJson, InvalidParam.
        """
        if len(event_type.encode()) > MAX_TYPE_BYTES or "\0" in event_type + txn_id or len(txn_id) > 1000:
            raise InvalidParam("Not a type of event, or not a transaction ID")
        checked = _checked(messages)
        sender_key = f"{who.user_id} {who.device_id or ''}"
        await self._write(_Sending(who.user_id, event_type, checked, sender_key, f"{event_type} {txn_id}"))

    async def receive(self, origin: ServerName, content: Json) -> None:
        """An `m.direct_to_device` of another server. Raises BadJson, InvalidParam for what is none."""
        sender, event_type, message_id = (content.get(name) for name in ("sender", "type", "message_id"))
        if not (isinstance(sender, str) and is_user_id(sender) and server_of(sender) == origin):
            raise InvalidParam("The sender is not of your server")
        if not isinstance(event_type, str) or not isinstance(message_id, str) or len(message_id) > 1000:
            raise BadJson("`type` and `message_id` must be texts")
        if "\0" in event_type + message_id:
            raise BadJson("A text cannot be stored")
        checked = {
            user_id: by_device
            for user_id, by_device in _checked(content.get("messages")).items()
            if server_of(user_id) == self._server_name
        }
        if checked:
            await self._write(_Sending(UserID(sender), event_type, checked, origin, message_id))

    async def expire(self) -> None:
        """Forget requests that nobody repeats any more, and messages that nobody can get."""
        before = self._clock.now_ms() - REMEMBERED_MS
        await self._database.transact(lambda tx: StoredMessages(tx).expire(before))
        await self._database.transact(lambda tx: StoredMessages(tx).sweep())

    async def _write(self, sending: _Sending) -> None:
        prefix = self._random.letters(16)

        def run(tx: Transaction, write: DeviceWrite) -> RunResult[None]:
            if not StoredMessages(tx).begin(sending.sender_key, sending.key, self._clock.now_ms()):
                return RunResult(None)
            entries = self._local(tx, write, sending)
            entries += self._remote(write, sending, prefix)
            return RunResult(None, [DEVICE_WRITES.row(True), *entries] if entries else [])

        await written(self._journal, run)

    def _local(self, tx: Transaction, write: DeviceWrite, sending: _Sending) -> list[Entry]:
        users: list[UserID] = []
        devices: list[str] = []
        for user_id, by_device in sending.messages.items():
            if server_of(user_id) == self._server_name:
                users += [UserID(user_id)] * len(by_device)
                devices += by_device
        if not users:
            return []
        entries = []
        head = b'{"sender":%b,"type":%b,"content":' % (
            orjson.dumps(sending.sender),
            orjson.dumps(sending.type),
        )
        encoded: dict[int, str] = {}
        for user_id, device_id in StoredMessages(tx).existing(users, devices):
            by_device = sending.messages[user_id]
            content = by_device.get(device_id, by_device.get(EVERY_DEVICE, {}))
            text = encoded.get(id(content))
            if text is None:
                text = encoded[id(content)] = (head + encode_canonical(content) + b"}").decode()
            entries.append(INBOX.row(user_id, device_id, 0, text))
            write.messages.append((user_id, device_id))
        return entries

    def _remote(self, write: DeviceWrite, sending: _Sending, prefix: str) -> list[Entry]:
        by_server: dict[ServerName, dict[str, Mapping[str, Json]]] = {}
        for user_id, by_device in sending.messages.items():
            server = server_of(user_id)
            if server != self._server_name and by_device:
                by_server.setdefault(server, {})[user_id] = by_device
        entries = []
        for server, messages in by_server.items():
            write.destinations.add(server)
            for part, some in enumerate(_parts(messages)):
                content = {
                    "sender": sending.sender,
                    "type": sending.type,
                    "message_id": f"{prefix}{part}",
                    "messages": some,
                }
                entries.append(OUTBOX.row(server, 0, part, encode_canonical(content).decode()))
        return entries


def _parts(messages: Mapping[str, Mapping[str, Json]]) -> Iterator[dict[str, dict[str, Json]]]:
    """Messages in pieces that other servers take."""
    part: dict[str, dict[str, Json]] = {}
    size = 0
    for user_id, by_device in messages.items():
        for device_id, content in by_device.items():
            weight = len(encode_canonical(content)) + len(user_id) + len(device_id)
            if part and size + weight > MAX_PART_BYTES:
                yield part
                part, size = {}, 0
            part.setdefault(user_id, {})[device_id] = content
            size += weight
    if part:
        yield part


def _checked(messages: object) -> dict[str, dict[str, Json]]:
    if not isinstance(messages, dict):
        raise BadJson("`messages` must be an object")
    for user_id, by_device in messages.items():
        if not is_user_id(user_id) or not isinstance(by_device, dict):
            raise BadJson("`messages` must be contents by user and device")
        for device_id, content in by_device.items():
            if not isinstance(content, dict) or "\0" in device_id:
                raise BadJson("`messages` must be contents by user and device")
    return messages


def device_id_of(who: Requester) -> DeviceID:
    """The device that asks. Raises InvalidParam for a token without one."""
    if who.device_id is None:
        raise InvalidParam("This needs a device")
    return who.device_id
