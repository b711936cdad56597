"""The events that relate to an event. https://spec.matrix.org/v1.19/client-server-api/#relationships-api"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import LiveToken, PageToken, TopologicalToken
from homeserver.services.rooms.access import Access, Seen
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.ignored_users import ignored_by
from homeserver.services.rooms.page_places import FURTHEST, LATEST, just_before, of_event
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.relations import Relations

MAX_DEPTH = 3
"""How many relations are followed, one after the other."""
MAX_LIMIT = 1000
MAX_SCANNED = 2000
"""Related events that one page looks at at most, however few of them it may show."""
_BLOCK = 200


@dataclass(frozen=True, slots=True)
class RelatedRequest:
    """Which related events, and which page of them."""

    event_id: EventID
    rel_type: str | None = None
    event_type: str | None = None
    recurse: bool = False
    backwards: bool = True
    start: PageToken | None = None
    stop: PageToken | None = None
    limit: int = 5


@dataclass(frozen=True, slots=True)
class RelatedPage:
    """A page in the order asked for; ``end`` is None if it is the last."""

    events: Sequence[Seen]
    end: PageToken | None


class Related:
    """Reads pages of related events."""

    def __init__(self, database: Database, events: EventStore, access: Access) -> None:
        self._database = database
        self._events = events
        self._access = access

    async def page(self, who: Requester, room_id: RoomID, request: RelatedRequest) -> RelatedPage:
        """One page. Raises NotFound if the event is not there for the user, InvalidParam."""
        if request.limit < 1:
            raise InvalidParam("`limit` must be positive")
        await self._access.event(room_id, who.user_id, request.event_id)
        reader = await self._access.reader(room_id, who.user_id)
        ignored = await self._database.read(lambda tx: ignored_by(tx, who.user_id))
        limit = min(request.limit, MAX_LIMIT)
        found: list[Seen] = []
        place, scanned = request.start, 0
        while scanned < MAX_SCANNED:
            wanted = limit - len(found) + 1 if scanned == 0 else _BLOCK
            rows = await self._rows(room_id, request, place, wanted)
            shown = [each for each in rows if each.event.is_state or each.event.sender not in ignored]
            seen = {each.stored.nid: each for each in await self._access.select(reader, shown)}
            for stored in rows:
                if len(found) == limit:
                    return RelatedPage(found, place)
                if stored.nid in seen:
                    found.append(seen[stored.nid])
                place = just_before(stored) if request.backwards else of_event(stored)
            if len(rows) < wanted:
                return RelatedPage(found, None)
            scanned += len(rows)
        return RelatedPage(found, place)

    async def _rows(
        self, room_id: RoomID, request: RelatedRequest, place: PageToken | None, limit: int
    ) -> list[StoredEvent]:
        low, high = (request.stop, place) if request.backwards else (place, request.stop)
        bottom = low if isinstance(low, TopologicalToken) else TopologicalToken(-1, 0)
        top = high if isinstance(high, TopologicalToken) else TopologicalToken(LATEST, LATEST)
        nids = await self._database.read(
            lambda tx: Relations(tx).children(
                room_id,
                request.event_id,
                request.rel_type,
                request.event_type,
                MAX_DEPTH if request.recurse else 1,
                bottom.depth,
                bottom.ordering,
                top.depth,
                top.ordering,
                low.pos if isinstance(low, LiveToken) else None,
                high.pos if isinstance(high, LiveToken) else FURTHEST,
                request.backwards,
                limit,
            )
        )
        events = await self._events.by_nids(nids)
        return [events[nid] for nid in nids if nid in events]
