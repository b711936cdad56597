"""The threads of a room. https://spec.matrix.org/v1.19/client-server-api/#querying-threads-in-a-room"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.events.content import relation_of
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import PageToken, TopologicalToken
from homeserver.services.rooms.access import Access, Seen
from homeserver.services.rooms.erased_users import without_content
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.ignored_users import ignored_by
from homeserver.services.rooms.page_places import FURTHEST, LATEST
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.relations import Relations, ThreadRow

MAX_LIMIT = 100
MAX_ROUNDS = 20
"""Blocks of threads that one page looks at, however few of them it may show."""


@dataclass(frozen=True, slots=True)
class ThreadsPage:
    """Roots of threads, by their latest replies; ``end`` is None if there are no more."""

    roots: Sequence[Seen]
    end: TopologicalToken | None


class Threads:
    """Lists threads."""

    def __init__(self, database: Database, events: EventStore, access: Access) -> None:
        self._database = database
        self._events = events
        self._access = access

    async def page(
        self, who: Requester, room_id: RoomID, start: PageToken | None, limit: int, *, participated: bool
    ) -> ThreadsPage:
        """The threads from a place on. Raises Forbidden, InvalidParam."""
        if limit < 1:
            raise InvalidParam("`limit` must be positive")
        if start is not None and not isinstance(start, TopologicalToken):
            raise InvalidParam("Unknown pagination token")
        limit = min(limit, MAX_LIMIT)
        standing = await self._access.standing(room_id, who.user_id)
        ignored = await self._database.read(lambda tx: ignored_by(tx, who.user_id))
        until = standing.reader.joined_until
        upto = FURTHEST if math.isinf(until) or not until else int(until)
        by = who.user_id if participated else None
        place = start or TopologicalToken(LATEST, LATEST)
        found: list[Seen] = []
        for _ in range(MAX_ROUNDS):
            rows = await self._rows(room_id, by, place, upto, sorted(ignored), limit + 1)
            roots = await self._events.by_ids([row.parent for row in rows])
            sound = [each for each in roots.values() if _is_root(each, room_id)]
            seen = {each.stored.nid: each for each in await self._access.select(standing.reader, sound)}
            for row in rows:
                if len(found) == limit:
                    return ThreadsPage(found, place)
                root = roots.get(row.parent)
                if root is not None and root.nid in seen:
                    found.append(_as_shown(seen[root.nid], ignored))
                place = TopologicalToken(row.depth, row.ordering - 1)
            if len(rows) <= limit:
                return ThreadsPage(found, None)
        return ThreadsPage(found, place)

    async def _rows(
        self,
        room_id: RoomID,
        by: UserID | None,
        place: TopologicalToken,
        upto: int,
        ignored: list[UserID],
        limit: int,
    ) -> list[ThreadRow]:
        return await self._database.read(
            lambda tx: Relations(tx).threads_of_room(
                room_id, by, place.depth, place.ordering, upto, ignored, limit
            )
        )


def _is_root(stored: StoredEvent, room_id: RoomID) -> bool:
    event = stored.event
    return event.room_id == room_id and not event.is_state and relation_of(event) is None


def _as_shown(seen: Seen, ignored: frozenset[UserID]) -> Seen:
    """What an ignored user began is shown without what they said."""
    if seen.stored.event.sender not in ignored:
        return seen
    return Seen(without_content(seen.stored), seen.membership)
