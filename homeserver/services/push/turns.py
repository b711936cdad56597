"""What deliveries of pushes need to know, read for many of them at once: who asks while a read is under way shares the
next one. So a message to a room of thousands costs its sender's server a read for each few pushes, not some for each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from twisted.internet.defer import Deferred

from homeserver.clock import Clock
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.push.standing import OpenRooms, Standing
from storage.database import Database
from storage.tables.push_outbox import OwedPush, PushProgress
from storage.tables.push_turns import OpenRoomOf, OwedTo, PushTurns
from storage.tables.pushers import PusherRow
from storage.transaction import Transaction

AT_ONCE: Final = 20
"""So many pushes of one pusher, and then it is another's turn."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A pusher, what it is owed (the oldest first), and how its user stands to the rooms that this is about."""

    pusher: PusherRow
    owed: Sequence[OwedPush]
    standing: Standing
    rooms: OpenRooms


@dataclass(slots=True)
class _Gathered:
    owed: dict[int, list[OwedTo]] = field(default_factory=dict)
    open: dict[UserID, list[OpenRoomOf]] = field(default_factory=dict)
    read: dict[UserID, dict[tuple[RoomID, str], int]] = field(default_factory=dict)
    ignored: dict[UserID, frozenset[UserID]] = field(default_factory=dict)
    called: frozenset[RoomID] = frozenset()


class Turns:
    """Reads them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting: dict[int, list[Deferred[Turn | None]]] = {}
        self._reading: Deferred[None] | None = None

    async def of(self, pusher_id: int) -> Turn | None:
        """What there is to do for a pusher now; None if it is gone."""
        asked: Deferred[Turn | None] = Deferred()
        self._waiting.setdefault(pusher_id, []).append(asked)
        if self._reading is None:
            self._reading = Deferred.fromCoroutine(self._read_all())
        return await asked

    async def _read_all(self) -> None:
        """Read as long as somebody waits."""
        await self._clock.sleep(0)
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            pushers = list(waiting)
            try:
                found = await self._read(pushers)
            except Exception as error:
                for asked in _asked(waiting):
                    asked.errback(error)
                continue
            for pusher_id, several in waiting.items():
                for asked in _asked({pusher_id: several}):
                    asked.callback(found.get(pusher_id))
        self._reading = None

    async def _read(self, pusher_ids: list[int]) -> Mapping[int, Turn]:
        return await self._database.read(lambda tx: _turns(tx, pusher_ids))


def _asked(waiting: Mapping[int, Sequence[Deferred[Turn | None]]]) -> Iterator[Deferred[Turn | None]]:
    """Those who still wait."""
    for several in waiting.values():
        for each in several:
            if not each.called:
                yield each


def _turns(tx: Transaction, pusher_ids: list[int]) -> Mapping[int, Turn]:
    table = PushTurns(tx)
    pushers = table.pushers(pusher_ids)
    gathered = _Gathered()
    for row in table.owed(pusher_ids, AT_ONCE):
        gathered.owed.setdefault(row.pusher_id, []).append(row)
    users = list({pusher.user_id for pusher in pushers if pusher.id in gathered.owed})
    if users:
        _gather(tx, users, pushers, gathered)
    return {pusher.id: _turn(pusher, gathered) for pusher in pushers}


def _gather(tx: Transaction, users: list[UserID], pushers: Sequence[PusherRow], gathered: _Gathered) -> None:
    table = PushTurns(tx)
    rooms = set()
    for row in table.open_rooms(users):
        gathered.open.setdefault(row.user_id, []).append(row)
        rooms.add(row.room_id)
    gathered.called = frozenset(table.with_calls(list(rooms)))
    for user_id, content in PushProgress(tx).ignored_lists(users):
        listed = orjson.loads(bytes(content)).get("ignored_users")
        gathered.ignored[user_id] = frozenset(listed) if isinstance(listed, dict) else frozenset()
    pairs = [
        (pusher.user_id, row.room_id)
        for pusher in pushers
        for row in gathered.owed.get(pusher.id, ())
        if row.room_id is not None
    ]
    if pairs:
        for read in table.reads([user_id for user_id, _ in pairs], [room_id for _, room_id in pairs]):
            gathered.read.setdefault(read.user_id, {})[read.room_id, read.thread_id] = read.pos


def _turn(pusher: PusherRow, gathered: _Gathered) -> Turn:
    user_id = pusher.user_id
    owed = [OwedPush(row.pos, row.event_nid, row.actions, row.ts) for row in gathered.owed.get(pusher.id, ())]
    rooms, ignored = gathered.open.get(user_id, []), gathered.ignored.get(user_id, frozenset())
    memberships = {row.room_id: row.membership for row in rooms}
    joined = [row.room_id for row in rooms if row.membership == "join"]
    invites = sum(row.membership == "invite" and row.sender not in ignored for row in rooms)
    return Turn(
        pusher=pusher,
        owed=owed,
        standing=Standing(memberships, gathered.read.get(user_id, {})),
        rooms=OpenRooms(joined, gathered.called.intersection(joined), invites, ignored),
    )
