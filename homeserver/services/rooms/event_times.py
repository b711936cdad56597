"""Finding events by date.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event,
https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1timestamp_to_eventroomid
"""

from collections.abc import Awaitable, Callable
from typing import Literal

from homeserver.protocol.errors import InvalidParam, MatrixError, NotFound
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.access import Access, Reader
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.remote import Backfill
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.event_times import EventTimes as StoredEventTimes
from storage.tables.events import BackwardExtremities

Direction = Literal["f", "b"]
AskOthers = Callable[[RoomID, int, Direction], Awaitable[list[tuple[EventID, int]]]]
"""What other servers in the room find: event IDs and times."""

_CANDIDATES = 100
_ROUNDS = 10
_PAGE = 100
_MAX_TS = 2**63 - 1


class EventTimes:
    """Looks in what this server has, and where that has gaps, in what others have."""

    def __init__(
        self,
        database: Database,
        access: Access,
        events: EventStore,
        backfill: Backfill | None = None,
        ask_others: AskOthers | None = None,
    ) -> None:
        self._database = database
        self._access = access
        self._events = events
        self._backfill = backfill
        self._ask_others = ask_others

    async def find(self, who: Requester, room_id: RoomID, ts: int, direction: Direction) -> Event:
        """The event closest to a time (milliseconds) that the user may see. Raises Forbidden, NotFound,
        InvalidParam.
        """
        standing = await self._access.standing(room_id, who.user_id)
        found = await self._visible(standing.reader, room_id, ts, direction)
        if await self._fetch_closer(room_id, ts, direction, found):
            found = await self._visible(standing.reader, room_id, ts, direction)
        if found is None:
            raise NotFound(_nothing(ts, direction))
        return found

    async def find_for_server(self, room_id: RoomID, ts: int, direction: Direction) -> Event:
        """The same for another server in the room, whatever its users may see. Raises NotFound, InvalidParam."""
        for stored in await self._candidates(room_id, ts, direction, 1):
            return stored.event
        raise NotFound(_nothing(ts, direction))

    async def _visible(self, reader: Reader, room_id: RoomID, ts: int, direction: Direction) -> Event | None:
        candidates = await self._candidates(room_id, ts, direction, _CANDIDATES)
        seen = await self._access.select(reader, candidates)
        return seen[0].stored.event if seen else None

    async def _candidates(
        self, room_id: RoomID, ts: int, direction: Direction, limit: int
    ) -> list[StoredEvent]:
        if not 0 <= ts <= _MAX_TS:
            raise InvalidParam("`ts` is out of range")

        def read(table: StoredEventTimes) -> list[StoredEvent]:
            find = table.from_then if direction == "f" else table.until_then
            return self._events.load(find(room_id, ts, limit))

        return await self._database.read(lambda tx: read(StoredEventTimes(tx)))

    async def _fetch_closer(
        self, room_id: RoomID, ts: int, direction: Direction, found: Event | None
    ) -> bool:
        """Fetch history back to a closer event that another server has; whether it is here now."""
        if self._ask_others is None or self._backfill is None:
            return False
        gaps = await self._database.read(lambda tx: BackwardExtremities(tx).of_room(room_id))
        if not gaps:
            return False
        distance = None if found is None else abs(found.origin_server_ts - ts)
        closer = [
            event_id
            for event_id, when in await self._ask_others(room_id, ts, direction)
            if (when >= ts if direction == "f" else when <= ts)
            and (distance is None or abs(when - ts) < distance)
        ]
        for _ in range(_ROUNDS if closer else 0):
            if await self._events.by_ids(closer):
                return True
            gaps = await self._database.read(lambda tx: BackwardExtremities(tx).of_room(room_id))
            if not gaps:
                return False
            try:
                if not await self._backfill.fill(room_id, max(depth for _, depth in gaps), _PAGE):
                    return False
            except MatrixError:
                return False
        return bool(closer and await self._events.by_ids(closer))


def _nothing(ts: int, direction: Direction) -> str:
    return f"There is no event {'from' if direction == 'f' else 'up to'} {ts}"
