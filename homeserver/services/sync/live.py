"""The users whose clients are here: which rooms they are in, and whether anything is new for them.

A record is loaded at a user's first sync and kept in step by the journal. It answers the usual questions of
a sync ("is there anything new?", "was I in the room all the time?") without the database, and names whom to wake.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence, Set
from typing import Final

import orjson
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.notifier import Notifier
from homeserver.protocol.errors import Forbidden
from homeserver.protocol.identifiers import RoomID, UserID, is_user_id
from homeserver.services.account_data import GLOBAL
from homeserver.services.rooms.persist import RoomCommit
from storage.database import Database
from storage.journal import Journal
from storage.tables.account_data import AccountData
from storage.tables.memberships import Memberships
from storage.transaction import Transaction

IGNORED_USERS: Final = "m.ignored_user_list"
_USER_BYTES: Final = 1500
_ROOM_BYTES: Final = 150


class LiveUser:
    """What is known of a user at every moment since the record was loaded.

    ``membership_pos`` and ``data_pos`` are positions after which nothing of the user's memberships, and of
    their other own things, has changed.
    """

    __slots__ = ("data_pos", "ignored", "membership_pos", "rooms", "stale_ignored", "user_id")

    def __init__(self, user_id: UserID, pos: int) -> None:
        self.user_id = user_id
        self.rooms: set[RoomID] = set()
        self.membership_pos = pos
        self.data_pos = pos
        self.ignored: frozenset[UserID] = frozenset()
        self.stale_ignored = False

    def weight(self) -> int:
        """Bytes of memory, roughly."""
        return _USER_BYTES + _ROOM_BYTES * len(self.rooms)


class _Loading:
    __slots__ = ("later", "outdated", "user", "waiting")

    def __init__(self, user: LiveUser) -> None:
        self.user = user
        self.later: list[tuple[RoomID, bool]] = []
        self.waiting: list[Deferred[LiveUser]] = []
        self.outdated = False
        """What was read may be wrong by now."""


class Live:
    """Records of users, and by room who of them is in it. Those without a waiting poll are forgotten, least
    recent first, beyond ``limit`` bytes.
    """

    def __init__(
        self, database: Database, journal: Journal, notifier: Notifier, limit: int, crowd: int = 1000
    ) -> None:
        """``crowd``: a room with more members than so many is not close."""
        self._database = database
        self._journal = journal
        self._notifier = notifier
        self._limit = limit
        self._crowd = crowd
        self._crowds: set[RoomID] = set()
        self._held = 0
        self._users: OrderedDict[UserID, LiveUser] = OrderedDict()
        self._loading: dict[UserID, _Loading] = {}
        self.members: dict[RoomID, set[UserID]] = {}
        """The users with a record, by room."""

    async def user(self, user_id: UserID) -> LiveUser:
        """The record of a user; loaded now if it is not here."""
        user = self._users.get(user_id)
        if user is None:
            return await self._load(user_id)
        self._users.move_to_end(user_id)
        if user.stale_ignored:
            await self._reload_ignored(user)
        return user

    def present(self, user_id: UserID) -> LiveUser | None:
        """The record of a user if it is here."""
        return self._users.get(user_id)

    def forget_all(self) -> None:
        """Drop all records: positions were missed."""
        for loading in self._loading.values():
            loading.outdated = True
        self._users.clear()
        self._crowds.clear()
        self.members.clear()
        self._held = 0

    def room_committed(self, commit: RoomCommit, users: Iterable[UserID], pos: int) -> None:
        """Follow the memberships that a write of a room changed."""
        for user_id in users:
            if user_id not in self._users and user_id not in self._loading:
                continue
            for change in commit.changes:
                if change.key == ("m.room.member", user_id):
                    before, after = change.memberships
                    if before == after == "join":
                        continue  # a new name or picture
                    self.moved(user_id, commit.head.room_id, pos, joined=after == "join")

    def moved(self, user_id: UserID, room_id: RoomID, pos: int, *, joined: bool) -> None:
        """The membership of a user changed."""
        user, loading = self._users.get(user_id), self._loading.get(user_id)
        if user is not None:
            self._set(user, room_id, joined)
        if loading is not None:
            loading.later.append((room_id, joined))
        self.touched(user_id, pos, membership=True)

    def touched(self, user_id: UserID, pos: int, *, membership: bool) -> None:
        """Something of the user's own changed."""
        for user in (
            self._users.get(user_id),
            self._loading[user_id].user if user_id in self._loading else None,
        ):
            if user is not None:
                if membership:
                    user.membership_pos = pos
                else:
                    user.data_pos = pos
                    user.stale_ignored = True

    def sharing(self, user_ids: Iterable[UserID]) -> set[UserID]:
        """Users with a record who share a close room with any of some users who have one themselves, these
        included.
        """
        rooms: set[RoomID] = set()
        found: set[UserID] = set()
        for user_id in user_ids:
            found.add(user_id)
            user = self._users.get(user_id)
            if user is not None:
                rooms |= self.close_rooms(user)
        for room_id in rooms:
            found |= self.members.get(room_id, frozenset())
        return found

    def close_rooms(self, user: LiveUser) -> Set[RoomID]:
        """The rooms of a user in which people are told of each other's presence: not the very large ones."""
        return user.rooms - self._crowds if self._crowds else user.rooms

    def count_near(self, user: LiveUser) -> int:
        """How many users with a record are in the close rooms of a user, or more."""
        return sum(len(self.members.get(room_id, ())) for room_id in self.close_rooms(user))

    def near(self, user: LiveUser) -> set[UserID]:
        """The users with a record in the close rooms of a user, who is one of them."""
        found = {user.user_id}
        for room_id in self.close_rooms(user):
            found |= self.members.get(room_id, frozenset())
        return found

    async def shared_with(self, user: LiveUser, others: Iterable[UserID]) -> set[UserID]:
        """Those of some users who share a room with ``user``."""
        found = set()
        unknown = []
        for other_id in others:
            other = self._users.get(other_id)
            if other is None:
                unknown.append(other_id)
            elif other is user or not other.rooms.isdisjoint(user.rooms):
                found.add(other_id)
        if unknown:
            found |= set(await self._database.read(lambda tx: Memberships(tx).sharing(user.user_id, unknown)))
        return found

    async def rooms_of(self, user_ids: list[UserID]) -> list[RoomID]:
        """Rooms that some users without a record are in, of those in which there is anybody with one."""
        rooms = list(self.members)
        return await self._database.read(lambda tx: Memberships(tx).joined_among(rooms, user_ids))

    async def require_shared_room(self, user_id: UserID, other_id: UserID) -> None:
        """Raises Forbidden unless two users share a room, or are the same."""
        if user_id != other_id:
            if not await self.shared_with(await self.user(user_id), (other_id,)):
                raise Forbidden("You share no room with that user")

    async def _load(self, user_id: UserID) -> LiveUser:
        loading = self._loading.get(user_id)
        done: Deferred[LiveUser] = Deferred()
        if loading is not None:
            loading.waiting.append(done)
            return await done
        loading = self._loading[user_id] = _Loading(LiveUser(user_id, self._journal.position))
        loading.waiting.append(done)
        self._begin(loading)
        return await done

    def _begin(self, loading: _Loading) -> None:
        user_id = loading.user.user_id
        _ = self._database.read(lambda tx: _stored(tx, user_id)).addCallbacks(
            lambda found: self._loaded(loading, *found), lambda failure: self._failed(loading, failure)
        )

    def _loaded(self, loading: _Loading, rooms: Sequence[RoomID], ignored: bytes | None) -> None:
        if loading.outdated:
            again = self._loading[loading.user.user_id] = _Loading(
                LiveUser(loading.user.user_id, self._journal.position)
            )
            again.waiting = loading.waiting
            self._begin(again)
            return
        user = loading.user
        del self._loading[user.user_id]
        self._users[user.user_id] = user
        self._held += _USER_BYTES
        for room_id in rooms:
            self._set(user, room_id, True)
        for room_id, joined in loading.later:
            self._set(user, room_id, joined)
        user.ignored = _ignored(ignored)
        self._shrink()
        for done in loading.waiting:
            if not done.called:
                done.callback(user)

    def _failed(self, loading: _Loading, failure: Failure) -> None:
        del self._loading[loading.user.user_id]
        for done in loading.waiting:
            if not done.called:
                done.errback(failure)

    async def _reload_ignored(self, user: LiveUser) -> None:
        user.stale_ignored = False
        user.ignored = _ignored(
            await self._database.read(lambda tx: AccountData(tx).content(user.user_id, GLOBAL, IGNORED_USERS))
        )

    def _set(self, user: LiveUser, room_id: RoomID, joined: bool) -> None:
        if joined == (room_id in user.rooms):
            return
        if joined:
            user.rooms.add(room_id)
            members = self.members.setdefault(room_id, set())
            members.add(user.user_id)
            if len(members) > self._crowd:
                self._crowds.add(room_id)
            self._held += _ROOM_BYTES
        else:
            user.rooms.discard(room_id)
            self._leave(user.user_id, room_id)
            self._held -= _ROOM_BYTES

    def _leave(self, user_id: UserID, room_id: RoomID) -> None:
        members = self.members.get(room_id)
        if members is not None:
            members.discard(user_id)
            if len(members) <= self._crowd:
                self._crowds.discard(room_id)
            if not members:
                del self.members[room_id]

    def _shrink(self) -> None:
        tries = len(self._users) - 1  # the newest stays
        while self._held > self._limit and tries > 0:
            tries -= 1
            user_id, user = next(iter(self._users.items()))
            if self._notifier.is_waiting(user_id):
                self._users.move_to_end(user_id)
                continue
            del self._users[user_id]
            self._held -= user.weight()
            for room_id in user.rooms:
                self._leave(user_id, room_id)


def _stored(tx: Transaction, user_id: UserID) -> tuple[list[RoomID], bytes | None]:
    rooms = Memberships(tx).joined_rooms(user_id)
    return rooms, AccountData(tx).content(user_id, GLOBAL, IGNORED_USERS)


def _ignored(content: bytes | None) -> frozenset[UserID]:
    """https://spec.matrix.org/v1.19/client-server-api/#mignored_user_list"""
    users = orjson.loads(content).get("ignored_users") if content else None
    return (
        frozenset(UserID(user) for user in users if is_user_id(user))
        if isinstance(users, dict)
        else frozenset()
    )
