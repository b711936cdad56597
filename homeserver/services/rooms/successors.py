"""Rooms that replace others: what follows the members and the server from the old room to the new one.

A room replaces another one if both say so: the new one names the old as its `predecessor`, and the old one's
tombstone points to the new. Whoever made only one of them moves nothing.

https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-16
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

import orjson

from homeserver.protocol.events.content import predecessor_of, replacement_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.push_rules.moved_room import with_rules_for
from homeserver.services.account_data import GLOBAL, TAG, AccountData, put_entry
from homeserver.services.push_rules import PushRules
from homeserver.services.rooms.actions import MEMBER, RoomActions
from homeserver.services.rooms.detached import detach
from homeserver.services.rooms.persist import RoomCommit
from storage.database import Database
from storage.journal import Journal, Landed
from storage.query import Entry
from storage.tables.account_data import AccountData as StoredAccountData
from storage.tables.memberships import Memberships
from storage.tables.room_upgrades import RoomUpgrades
from storage.transaction import Transaction

TOMBSTONE: Final = "m.room.tombstone"
_DIRECT: Final = "m.direct"


class Successors:
    """Follows joins of local users into rooms that replace others, and tombstones."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        actions: RoomActions,
        account_data: AccountData,
        push_rules: PushRules,
    ) -> None:
        self._database = database
        self._actions = actions
        self._account_data = account_data
        self._push_rules = push_rules
        journal.listen(self._landed)

    async def entering(self, user_id: UserID, new: RoomID) -> None:
        """Have the settings of a user in place when they come into the new room."""
        await self._move(new, (user_id,))

    async def follow(self, new: RoomID) -> None:
        """Move what this server and its users in the new room have of the old one."""
        await self._move(new, await self._database.read(lambda tx: Memberships(tx).local_joined(new)))

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        for changes, payload, _ in landed:
            if not isinstance(payload, RoomCommit):
                continue
            room_id = payload.head.room_id
            if changes.users and (joined := _joined(payload, changes.users)):
                detach("move into a new room", self._move(room_id, joined), room=room_id)
            replacement = _new_replacement(payload)
            if replacement is not None:
                detach("move into a new room", self.follow(replacement), room=replacement)

    async def _move(self, new: RoomID, users: Iterable[UserID]) -> None:
        old = await self._predecessor(new)
        if old is None:
            return
        await self._database.transact(lambda tx: _move_room(tx, old, new))
        for user_id in users:
            await self._account_data.update(user_id, partial(_copied, user_id, old, new))
            await self._push_rules.change(user_id, lambda rules: with_rules_for(rules, old, new))

    async def _predecessor(self, new: RoomID) -> RoomID | None:
        """The room that this one replaces."""
        previous = predecessor_of(await self._state(new, "m.room.create"))
        if previous is None or previous.room_id == new:
            return None
        tombstone = await self._state(previous.room_id, TOMBSTONE)
        return previous.room_id if replacement_of(tombstone) == new else None

    async def _state(self, room_id: RoomID, event_type: str) -> Event | None:
        head = await self._actions.heads.find(room_id)
        stored = None if head is None else await self._actions.states.find(head.state, event_type)
        return None if stored is None else stored.event


def _joined(commit: RoomCommit, local: Iterable[UserID]) -> list[UserID]:
    concerned = frozenset(local)
    return [
        UserID(change.key[1])
        for change in commit.changes
        if change.key[0] == MEMBER and change.key[1] in concerned
        if change.memberships[0] != "join" and change.memberships[1] == "join"
    ]


def _new_replacement(commit: RoomCommit) -> RoomID | None:
    for change in commit.changes:
        if change.key == (TOMBSTONE, "") and change.current is not None:
            return replacement_of(change.current.event)
    return None


def _move_room(tx: Transaction, old: RoomID, new: RoomID) -> None:
    table = RoomUpgrades(tx)
    table.move_aliases(old, new)
    table.move_listing(old, new)


def _copied(user_id: UserID, old: RoomID, new: RoomID, tx: Transaction) -> list[Entry]:
    """The user's tags and direct chats, where the new room has none yet."""
    table = StoredAccountData(tx)
    entries = []
    tags = table.content(user_id, old, TAG)
    if tags is not None and table.content(user_id, new, TAG) is None:
        entries.append(put_entry(user_id, new, TAG, orjson.loads(tags)))
    direct = _with_room(table.content(user_id, GLOBAL, _DIRECT), old, new)
    if direct is not None:
        entries.append(put_entry(user_id, GLOBAL, _DIRECT, direct))
    return entries


def _with_room(stored: bytes | None, old: RoomID, new: RoomID) -> dict[str, Any] | None:
    """`m.direct` with the new room wherever the old one is; None if that changes nothing."""
    content = {} if stored is None else orjson.loads(stored)
    changed = {
        user_id: [*rooms, new]
        for user_id, rooms in content.items()
        if isinstance(rooms, list) and old in rooms and new not in rooms
    }
    return {**content, **changed} if changed else None
