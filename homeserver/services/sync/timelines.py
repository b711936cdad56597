"""The latest events of many rooms as one user may see them, with few queries whatever the number of rooms."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from homeserver.protocol.filters import RoomEventFilter
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.rooms.access import Access, Reader, Seen
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.parents import with_children
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sync.model import MEMBER, Part, Timeline
from storage.database import Database
from storage.tables.events import EventRow, Events, TimelineGaps
from storage.transaction import Transaction

MAX_ROUNDS: Final = 5
"""Blocks of events that are looked at in a room whose events the filter drops; after that, the timeline
counts as limited.
"""
_BLOCK: Final = 50


@dataclass(slots=True)
class _Progress:
    part: Part
    upto: int
    since: int
    found: list[Seen] = field(default_factory=list)
    ended: bool = False


class Timelines:
    """Reads timelines."""

    def __init__(self, database: Database, events: EventStore, access: Access) -> None:
        self._database = database
        self._events = events
        self._access = access

    async def read(
        self,
        user_id: UserID,
        parts: Iterable[Part],
        filter: RoomEventFilter,
        limit: int,
        ignored: Collection[UserID],
    ) -> dict[RoomID, Timeline]:
        """The timeline of each part: at most ``limit`` events, the latest ones. None goes back over a gap: what is
        missing there may be read once it was fetched, from behind the timeline.
        """
        rooms = {part.room_id: _Progress(part, part.upto, part.since) for part in parts}
        open_ = filter.is_open and not ignored
        types = None if filter.types is None or any("*" in t for t in filter.types) else list(filter.types)
        block = limit + 1 if open_ else max(limit + 1, _BLOCK)

        async def passing(events: Sequence[StoredEvent]) -> set[int]:
            chosen = [each for each in events if _passes(each, filter, ignored)]
            return {each.nid for each in await with_children(self._database, filter, chosen)}

        todo = [progress for progress in rooms.values() if filter.matches_room(progress.part.room_id)]
        for _ in range(MAX_ROUNDS):
            if not todo:
                break
            await self._round(user_id, todo, types, block, None if open_ else passing)
            todo = [each for each in todo if not each.ended and len(each.found) <= limit]
            block = _BLOCK
        unfinished = {each.part.room_id for each in todo}
        await self._add_leaves_from_outside(user_id, rooms.values())
        return {
            room_id: _timeline(progress, limit, room_id in unfinished) for room_id, progress in rooms.items()
        }

    async def _add_leaves_from_outside(self, user_id: UserID, progresses: Iterable[_Progress]) -> None:
        """How invites and knocks ended in rooms that this server is not in: of that no room has an event."""
        outside = {
            each.part.left: each for each in progresses if each.part.joined_until == 0 and not each.found
        }
        for nid, stored in (await self._events.by_nids(nid for nid in outside if nid)).items():
            if (
                stored.is_outlier
                and stored.event.key == (MEMBER, user_id)
                and stored.event.membership == "leave"
            ):
                outside[nid].found.append(Seen(stored, "leave"))

    async def _round(
        self,
        user_id: UserID,
        todo: Sequence[_Progress],
        types: list[str] | None,
        block: int,
        passing: Callable[[Sequence[StoredEvent]], Awaitable[set[int]]] | None,
    ) -> None:
        rooms = [each.part.room_id for each in todo]
        sinces = [each.since for each in todo]
        uptos = [each.upto for each in todo]
        rows, gaps = await self._database.read(lambda tx: _latest(tx, rooms, sinces, uptos, types, block))
        by_room: dict[RoomID, list[StoredEvent]] = {room_id: [] for room_id in rooms}
        for each in todo:
            each.since = max(each.since, gaps.get(each.part.room_id, 0) - 1)
        loaded = self._events.load(rows)
        for stored in loaded:
            if (stored.pos or 0) >= gaps.get(stored.event.room_id, 0):
                by_room[stored.event.room_id].append(stored)
        passed = None if passing is None else await passing(loaded)
        groups = []
        for each in todo:
            events = by_room[each.part.room_id]
            each.ended = len(events) < block
            if events:
                each.upto = (events[0].pos or 0) - 1
            reader = Reader(user_id, each.part.room_id, each.part.joined_until)
            groups.append((reader, [one for one in events if passed is None or one.nid in passed]))
        for each, seen in zip(todo, await self._access.select_each(user_id, groups), strict=True):
            each.found[:0] = _with_own_leave(each.part, user_id, seen, by_room[each.part.room_id])


def _latest(
    tx: Transaction,
    rooms: list[RoomID],
    sinces: list[int],
    uptos: list[int],
    types: list[str] | None,
    limit: int,
) -> tuple[list[EventRow], dict[RoomID, int]]:
    rows = Events(tx).latest_in(rooms, sinces, uptos, types, limit)
    return rows, dict(TimelineGaps(tx).latest_in(rooms, sinces, uptos))


def _passes(stored: StoredEvent, filter: RoomEventFilter, ignored: Collection[UserID]) -> bool:
    event = stored.event
    if event.sender in ignored and event.state_key is None:
        return False
    return filter.is_open or filter.matches_event(event)


def _with_own_leave(
    part: Part, user_id: UserID, seen: list[Seen], events: Sequence[StoredEvent]
) -> list[Seen]:
    """How a user's stay ended is shown to them whatever the room's history visibility says."""
    if part.left is None or any(each.stored.nid == part.left for each in seen):
        return seen
    own = [
        Seen(stored, stored.event.membership or "leave")
        for stored in events
        if stored.nid == part.left and stored.event.key == (MEMBER, user_id)
    ]
    return [*seen, *own]


def _timeline(progress: _Progress, limit: int, unfinished: bool) -> Timeline:
    found = progress.found
    limited = unfinished or len(found) > limit or progress.since > progress.part.since
    shown = found[len(found) - limit :] if len(found) > limit else found
    start = (shown[0].stored.pos or progress.part.upto) if shown else progress.part.upto + 1
    return Timeline(shown, limited, start)
