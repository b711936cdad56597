"""In which rooms a user's search looks, and up to where.

Those they are in and those they have left, as long as they did not forget them; not encrypted ones, and none that
they are banned from. https://spec.matrix.org/v1.19/client-server-api/#server-side-search
"""

import math
from collections.abc import Mapping

from homeserver.protocol.events.content import predecessor_of
from homeserver.protocol.filters import RoomEventFilter
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.rooms.access import Reader
from homeserver.services.rooms.heads import RoomHeads
from homeserver.services.rooms.state_store import StateStore
from storage.database import Database
from storage.tables.memberships import Memberships
from storage.tables.search import SearchedRooms as StoredRooms
from storage.transaction import Transaction

_MAX_PREDECESSORS = 100


class SearchedRooms:
    """Finds them."""

    def __init__(self, database: Database, heads: RoomHeads, states: StateStore) -> None:
        self._database = database
        self._heads = heads
        self._states = states

    async def of(self, user_id: UserID, filter: RoomEventFilter) -> Mapping[RoomID, Reader]:
        """The user as reader of each room. With a room that is asked for go those that it is an upgrade of."""
        readers = await self._database.read(lambda tx: _readers(tx, user_id))
        if filter.rooms is None:
            return {room_id: reader for room_id, reader in readers.items() if filter.matches_room(room_id)}
        wanted = await self._with_predecessors(filter.rooms, readers)
        return {
            room_id: reader
            for room_id, reader in readers.items()
            if room_id in wanted and room_id not in filter.not_rooms
        }

    async def _with_predecessors(
        self, rooms: tuple[RoomID, ...], readable: Mapping[RoomID, Reader]
    ) -> set[RoomID]:
        wanted = {room_id for room_id in rooms if room_id in readable}
        edge = list(wanted)
        looked = 0
        while edge and looked < _MAX_PREDECESSORS:
            looked += 1
            previous = await self._predecessor(edge.pop())
            if previous is not None and previous in readable and previous not in wanted:
                wanted.add(previous)
                edge.append(previous)
        return wanted

    async def _predecessor(self, room_id: RoomID) -> RoomID | None:
        head = await self._heads.find(room_id)
        create = None if head is None else await self._states.find(head.state, "m.room.create")
        previous = None if create is None else predecessor_of(create.event)
        return None if previous is None else previous.room_id


def _readers(tx: Transaction, user_id: UserID) -> dict[RoomID, Reader]:
    rows = StoredRooms(tx).of_user(user_id)
    left = [row.room_id for row in rows if row.membership != "join"]
    ends = {each.room_id: each.pos for each in Memberships(tx).last_leaves(user_id, left)} if left else {}
    readers = {}
    for row in rows:
        if row.membership == "join":
            readers[row.room_id] = Reader(user_id, row.room_id, math.inf)
        elif row.room_id in ends:
            readers[row.room_id] = Reader(user_id, row.room_id, ends[row.room_id])
    return readers
