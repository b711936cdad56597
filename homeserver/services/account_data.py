"""Account data: what clients keep on the server, for the account or for a room, and the tags of rooms.

https://spec.matrix.org/v1.19/client-server-api/#client-config,
https://spec.matrix.org/v1.19/client-server-api/#room-tagging
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from homeserver.protocol.errors import BadJson, ControlledByServer, Forbidden, InvalidParam, NotFound
from homeserver.protocol.identifiers import DeviceID, RoomID, UserID
from homeserver.protocol.push_rules.ruleset import Changes as RuleChanges
from homeserver.protocol.push_rules.ruleset import push_rules_content
from homeserver.protocol.requester import Requester
from homeserver.services.device_writes import DeviceWrite
from homeserver.services.keyed_locks import KeyedLocks
from homeserver.services.push_rules import rule_changes
from storage.database import Database
from storage.journal import Changes, Journal, RunResult, Write
from storage.query import Entry
from storage.tables.account_data import PUT_ACCOUNT_DATA, AccountDatum
from storage.tables.account_data import AccountData as StoredAccountData
from storage.tables.users import Users
from storage.transaction import Transaction

GLOBAL = RoomID("")
"""In the place of a room: data of the account as a whole."""

TAG = "m.tag"
PUSH_RULES = "m.push_rules"
FULLY_READ = "m.fully_read"
MAX_TYPE_LENGTH = 255
MAX_TAG_BYTES = 255
_OF_DEVICES: Final = ("m.local_notification_settings.", "org.matrix.msc3890.local_notification_settings.")
"""What the names of types begin with that are about a device; its ID follows."""


class AccountData:
    """The account data of local users. Only they themselves may see it."""

    def __init__(self, database: Database, journal: Journal, *, thread_rules: bool = False) -> None:
        """``thread_rules``: push rules have those of threads (see `ruleset`)."""
        self._database = database
        self._journal = journal
        self._thread_rules = thread_rules
        self._locks: KeyedLocks[UserID] = KeyedLocks()

    async def content(self, who: Requester, user_id: UserID, room_id: RoomID, type_: str) -> bytes:
        """The content of one type: JSON. Raises Forbidden, NotFound."""
        _check_own(who, user_id)
        threads = self._thread_rules
        found = await self._database.read(lambda tx: _content(tx, user_id, room_id, type_, threads=threads))
        if found is None:
            raise NotFound("Account data not found")
        return found

    async def put(
        self, who: Requester, user_id: UserID, room_id: RoomID, type_: str, content: dict[str, Any]
    ) -> None:
        """Replace the content of one type; {} deletes it. Raises Forbidden, InvalidParam, ControlledByServer."""
        _check_own(who, user_id)
        if type_ in (PUSH_RULES, FULLY_READ):
            raise ControlledByServer(f"{type_} cannot be set as account data")
        if len(type_) > MAX_TYPE_LENGTH:
            raise InvalidParam(f"A type has at most {MAX_TYPE_LENGTH} characters")
        await self.write(user_id, [put_entry(user_id, room_id, type_, content)])

    async def delete(self, who: Requester, user_id: UserID, room_id: RoomID, type_: str) -> None:
        """Remove one type, if it is there (MSC3391). Raises Forbidden, ControlledByServer."""
        _check_own(who, user_id)
        if type_ in (PUSH_RULES, FULLY_READ):
            raise ControlledByServer(f"{type_} cannot be deleted")
        if (
            await self._database.read(lambda tx: StoredAccountData(tx).content(user_id, room_id, type_))
            is not None
        ):
            await self.write(user_id, [put_entry(user_id, room_id, type_, {})])

    async def write(self, user_id: UserID, entries: list[Entry]) -> None:
        """Write account data that the server itself sets (see `put_entry`)."""
        await self._journal.write(Write(entries=entries, changes=Changes(users=frozenset((user_id,)))))

    async def tags(self, who: Requester, user_id: UserID, room_id: RoomID) -> dict[str, Any]:
        """The tags of a room. Raises Forbidden."""
        _check_own(who, user_id)
        return await self._database.read(lambda tx: _tags(tx, user_id, room_id))

    async def put_tag(
        self, who: Requester, user_id: UserID, room_id: RoomID, tag: str, info: dict[str, Any]
    ) -> None:
        """Add a tag to a room, or replace it. Raises Forbidden, InvalidParam, BadJson."""
        _check_own(who, user_id)
        if len(tag.encode()) > MAX_TAG_BYTES:
            raise InvalidParam(f"A tag has at most {MAX_TAG_BYTES} bytes")
        order = info.get("order")
        if order is not None and (isinstance(order, bool) or not isinstance(order, int | float)):
            raise BadJson("`order` must be a number")
        await self._change_tags(user_id, room_id, lambda tags: {**tags, tag: info})

    async def delete_tag(self, who: Requester, user_id: UserID, room_id: RoomID, tag: str) -> None:
        """Remove a tag from a room, if it is there. Raises Forbidden."""
        _check_own(who, user_id)
        await self._change_tags(
            user_id, room_id, lambda tags: {name: info for name, info in tags.items() if name != tag}
        )

    async def update(self, user_id: UserID, change: Callable[[Transaction], list[Entry]]) -> None:
        """Write what ``change`` makes of the data as it is now (see `put_entry`)."""

        def write(tx: Transaction) -> RunResult[None]:
            Users(tx).lock_row(user_id)
            return RunResult(None, change(tx))

        async with self._locks.holding(user_id):
            written: Write[None] = Write(run=write, changes=Changes(users=frozenset((user_id,))))
            await self._journal.write(written)

    def devices_removed(
        self, tx: Transaction, write: DeviceWrite, user_id: UserID, devices: Sequence[DeviceID]
    ) -> list[Entry]:
        """Delete what is about devices that go: whether they are silent. That is for these devices to honour: what
        their pushers get is decided by the pushers' own `enabled`.

        https://github.com/matrix-org/matrix-spec-proposals/pull/3890
        """
        types = [prefix + device_id for device_id in devices for prefix in _OF_DEVICES]
        there = StoredAccountData(tx).present(user_id, types)
        return [put_entry(user_id, GLOBAL, type_, {}) for type_ in there]

    async def _change_tags(
        self, user_id: UserID, room_id: RoomID, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        def changed(tx: Transaction) -> list[Entry]:
            before = _tags(tx, user_id, room_id)
            after = change(before)
            return [] if after == before else [put_entry(user_id, room_id, TAG, {"tags": after})]

        await self.update(user_id, changed)


def put_entry(user_id: UserID, room_id: RoomID, type_: str, content: dict[str, Any]) -> Entry:
    """The journal entry that replaces the content of one type; {} deletes it.

    https://github.com/matrix-org/matrix-spec-proposals/pull/3391
    """
    return PUT_ACCOUNT_DATA.entry(
        user_id=user_id, room_id=room_id, type=type_, content=orjson.dumps(content), deleted=not content
    )


def changed_between(
    tx: Transaction, user_id: UserID, since: int, upto: int, *, thread_rules: bool = False
) -> list[AccountDatum]:
    """What changed at positions after `since` up to `upto`, push rules included (with those of threads); everything
    if `since` is 0.
    """
    changed = StoredAccountData(tx).changed_between(user_id, since, upto)
    rules: bytes | None = None
    for place, datum in enumerate(changed):
        if datum.type == PUSH_RULES and datum.room_id == GLOBAL:
            rules = changed.pop(place).content
            break
    if rules is not None or since == 0:
        content = push_rules_content(user_id, RuleChanges.decode(rules), threads=thread_rules)
        changed.append(AccountDatum(GLOBAL, PUSH_RULES, content))
    return changed


def of_rooms(tx: Transaction, user_id: UserID, room_ids: list[RoomID], upto: int) -> list[AccountDatum]:
    """All account data of some rooms."""
    return StoredAccountData(tx).of_rooms(user_id, list(room_ids), upto)


def _content(tx: Transaction, user_id: UserID, room_id: RoomID, type_: str, *, threads: bool) -> bytes | None:
    if type_ == PUSH_RULES and room_id == GLOBAL:
        return push_rules_content(user_id, rule_changes(tx, user_id), threads=threads)
    return StoredAccountData(tx).content(user_id, room_id, type_)


def _tags(tx: Transaction, user_id: UserID, room_id: RoomID) -> dict[str, Any]:
    content = StoredAccountData(tx).content(user_id, room_id, TAG)
    tags = {} if content is None else orjson.loads(content).get("tags")
    return tags if isinstance(tags, dict) else {}


def _check_own(who: Requester, user_id: UserID) -> None:
    if who.user_id != user_id:
        raise Forbidden("You can only use your own account data")
