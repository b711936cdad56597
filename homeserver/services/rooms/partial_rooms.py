"""Rooms that this server is in without having been told most of their members yet.

https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid, `members_omitted`. Users
talk in such a room as in any other. Who needs all members waits here for them, or is refused.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from twisted.internet.defer import Deferred

from homeserver.clock import Clock
from homeserver.protocol.identifiers import RoomID, ServerName
from homeserver.protocol.partial_state import NotYetWhole, UnableDueToPartialState
from homeserver.services.rooms.detached import detach
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.room_elsewhere import RoomElsewhere
from storage.bulk import Entry
from storage.database import Database
from storage.journal import Journal, Landed
from storage.tables.partial_rooms import WHOLE_ROOMS, PartialRoom
from storage.tables.partial_rooms import PartialRooms as Stored
from storage.tables.rooms import EARLIER_ROOM_SERVERS

SOON_S: Final = 1.0
"""So long who joins a room waits for its members."""
HISTORY_S: Final = 3.0
"""So long who reads up to the join waits for them, as what was before it cannot be fetched without them."""
SERVERS_S: Final = 10.0
"""So long another server waits that asks for the state at an event."""
YOUNG_MS: Final = 60_000
"""A room that has been partial for longer is not expected to become whole while somebody reads it."""

_NONE: frozenset[RoomID] = frozenset()
_NOBODY: Mapping[ServerName, int] = MappingProxyType({})


class PartialRooms:
    """Which rooms these are, in memory: whether a room is one costs a look into a dictionary."""

    def __init__(self, database: Database, journal: Journal, clock: Clock, patience_s: float) -> None:
        """``patience_s``: for how long anybody is let wait for a room to become whole."""
        self._database = database
        self._journal = journal
        self._clock = clock
        self._patience_s = patience_s
        self._since: dict[RoomID, int] = {}
        self._told = 0
        self._waiting: dict[RoomID, list[Deferred[None]]] = {}
        self._listeners: list[Callable[[], None]] = []
        journal.listen(self._landed, self._missed)

    def __contains__(self, room_id: object) -> bool:
        return room_id in self._since

    def __len__(self) -> int:
        return len(self._since)

    @property
    def position(self) -> int:
        """A position that has passed."""
        return self._journal.position

    @property
    def age_s(self) -> float:
        """For how long the oldest of them is one."""
        return (self._clock.now_ms() - min(self._since.values(), default=self._clock.now_ms())) / 1000

    def among(self, rooms: Collection[RoomID]) -> frozenset[RoomID]:
        """Those of some rooms that are partial."""
        return frozenset(self._since.keys() & rooms) if self._since else _NONE

    def when_new(self, listener: Callable[[], None]) -> None:
        """Call when a room has become one of them on this node."""
        self._listeners.append(listener)

    async def load(self) -> None:
        """Learn what the database has; other nodes write there too."""
        told = self._told
        found = dict(await self._database.read(lambda tx: Stored(tx).all()))
        if told == self._told:
            gone = self._since.keys() - found.keys()
            self._since = found
            for room_id in gone:
                self._let_go(room_id)

    async def whole_soon(self, room_id: RoomID) -> None:
        """Wait a moment for a room to become whole: a small one does before anybody has looked at it."""
        try:
            await self.whole(room_id, SOON_S)
        except NotYetWhole:
            return

    async def whole(self, room_id: RoomID, patience_s: float | None = None) -> None:
        """Wait until all members of a room are known. Raises NotYetWhole when that takes too long."""
        if room_id not in self._since:
            return
        waiting: Deferred[None] = Deferred()
        everybody = self._waiting.setdefault(room_id, [])
        everybody.append(waiting)
        seconds = self._patience_s if patience_s is None else patience_s
        timer = self._clock.call_later(seconds, _give_up, waiting)
        try:
            await waiting
        finally:
            if timer.active():
                timer.cancel()
            if waiting in everybody:
                everybody.remove(waiting)

    async def whole_for_history(self, room_id: RoomID) -> None:
        """Wait a while for a room to become whole, if that may be expected."""
        since = self._since.get(room_id)
        if since is None or self._clock.now_ms() - since > YOUNG_MS:
            return
        try:
            await self.whole(room_id, HISTORY_S)
        except NotYetWhole:
            return

    async def whole_for_servers(self, room_id: RoomID) -> None:
        """Let another server wait for a room to become whole. Raises UnableDueToPartialState."""
        try:
            await self.whole(room_id, SERVERS_S)
        except NotYetWhole:
            raise UnableDueToPartialState from None

    def closing(self, record: PartialRoom, learned: Mapping[ServerName, int] = _NOBODY) -> list[Entry]:
        """The rows by which a room ceases to be partial: the servers that were said to be in it are so no more for that
        alone, but for the members that each has more than was known.
        """
        joined = dict(learned)
        for server in record.servers:
            joined[server] = joined.get(server, 0) - 1
        return [WHOLE_ROOMS.row(record.room_id), *self.server_rows(record.room_id, joined)]

    def server_rows(self, room_id: RoomID, joined: Mapping[ServerName, int]) -> list[Entry]:
        """How many members each server won or lost, as rows."""
        pos = self._journal.position
        return [
            EARLIER_ROOM_SERVERS.row(room_id, server, count, pos) for server, count in joined.items() if count
        ]

    async def record(self, room_id: RoomID) -> PartialRoom | None:
        """What is on record of a partial room."""
        return await self._database.read(lambda tx: Stored(tx).find(room_id))

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        for _, payload, _ in landed:
            if isinstance(payload, RoomCommit) and payload.whole is not None:
                self._turned(payload.head.room_id, whole=payload.whole)
                if not payload.whole:
                    for listener in self._listeners:
                        listener()
            elif isinstance(payload, RoomElsewhere) and payload.whole is not None:
                self._turned(payload.room_id, whole=payload.whole)

    def _missed(self, upto: int) -> None:
        detach("reading of partial rooms", self.load())

    def _turned(self, room_id: RoomID, *, whole: bool) -> None:
        self._told += 1
        if whole:
            self._since.pop(room_id, None)
            self._let_go(room_id)
        else:
            self._since[room_id] = self._clock.now_ms()

    def _let_go(self, room_id: RoomID) -> None:
        for waiting in self._waiting.pop(room_id, ()):
            if not waiting.called:
                waiting.callback(None)


def _give_up(waiting: "Deferred[None]") -> None:
    if not waiting.called:
        waiting.errback(NotYetWhole())
