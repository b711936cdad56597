"""The rooms of a user, and which of them a client's lists and subscriptions ask for."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.invite_permission import unwanted_inviters
from homeserver.services.sliding_sync.model import (
    ListResult,
    RoomConfig,
    RoomFilter,
    RoomList,
    SlidingRequest,
)
from homeserver.services.sync.live import LiveUser
from homeserver.services.sync.recent import RecentRooms
from storage.caches import CacheBudget
from storage.database import Database
from storage.journal import Journal, Stream
from storage.tables.sliding_sync import ListedRooms, ListedRow
from storage.transaction import Transaction

CHILD = "m.space.child"
MAX_CHANGED: Final = 200
"""If more rooms changed than so many, all are read."""
_ROW_BYTES: Final = 600
_OUTSIDE = ("invite", "knock")


@dataclass(frozen=True, slots=True)
class Rooms:
    """A user's rooms at position ``now``, the latest activity first, and what the user marked them with."""

    now: int
    rows: Sequence[ListedRow]
    direct: Collection[str]
    tags: Mapping[str, Collection[str]]
    children: Mapping[str, Collection[str]]


@dataclass(slots=True)
class Choice:
    """A room that is asked for, with everything that any rule asks of it."""

    row: ListedRow
    config: RoomConfig
    lists: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Kept:
    """The rooms that a user is in as they were at position ``pos``, the latest activity first; and the user's marks."""

    pos: int
    rows: list[ListedRow]
    marks: "_Marks"


@dataclass(frozen=True, slots=True)
class _Marks:
    """Direct chats, and tags if ``tagged``."""

    tagged: bool
    direct: Collection[str]
    tags: Mapping[str, Collection[str]]


class RoomLists:
    """Reads a user's rooms: one query for all of them, one for the marks. What was read is kept under the byte budget,
    and of rooms in which nothing happened since it is not read again.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal,
        events: EventStore,
        recent: RecentRooms,
        caches: CacheBudget,
    ) -> None:
        self._database = database
        self._journal = journal
        self._events = events
        self._recent = recent
        self._kept = caches.cache("sliding_lists", lambda kept: 1000 + _ROW_BYTES * len(kept.rows))

    async def read(self, user: LiveUser, since: int, request: SlidingRequest) -> Rooms:
        """The rooms with what the request's filters look at; those left after ``since`` among them."""
        filters = [each.filter for each in request.lists.values()]
        tagged = any(each.tags is not None or each.not_tags for each in filters)
        kept: _Kept | None = self._kept.get(user.user_id)
        found = None if kept is None else await self._go_on(user, since, kept, tagged)
        now, rows, marks = found or await self._begin(user, since, tagged)
        shown = [row for row in rows if row.membership not in _OUTSIDE or row.sender not in user.ignored]
        hidden = await self._unwanted_inviters(user, shown)
        if hidden:
            shown = [row for row in shown if row.membership != "invite" or row.sender not in hidden]
        shown.sort(key=_place)
        spaces = {RoomID(space) for each in filters for space in each.spaces or ()}
        inside = [row.room_id for row in rows if row.membership == "join" and row.room_id in spaces]
        return Rooms(now, shown, marks.direct, marks.tags, await self._children(inside))

    async def _unwanted_inviters(self, user: LiveUser, rows: Sequence[ListedRow]) -> frozenset[UserID]:
        """Those whose invites the user's rules hide."""
        inviters = {row.sender for row in rows if row.membership == "invite"}
        if not inviters:
            return frozenset()
        return await self._database.read(lambda tx: unwanted_inviters(tx, user.user_id, inviters))

    async def _begin(self, user: LiveUser, since: int, tagged: bool) -> tuple[int, list[ListedRow], _Marks]:
        now, rows, marks = await self._database.read(lambda tx: _read(tx, user.user_id, since, tagged))
        self._keep(user, now, [row for row in rows if row.membership == "join"], marks)
        return now, rows, marks

    async def _go_on(
        self, user: LiveUser, since: int, kept: _Kept, tagged: bool
    ) -> tuple[int, list[ListedRow], _Marks] | None:
        """From what is kept; None if too little of it is good. Rooms that the user is not in are few, and read anew."""
        now = self._journal.position
        changed = self._recent.changed(user.rooms, kept.pos)
        if changed is None or len(changed) > MAX_CHANGED or user.membership_pos > kept.pos:
            return None
        marks = kept.marks
        if user.data_pos > kept.pos or (tagged and not marks.tagged):
            marks = await self._database.read(lambda tx: _marks(tx, user.user_id, tagged))
        rows = await self._database.read(lambda tx: ListedRooms(tx).changed(user.user_id, since, changed))
        if user.membership_pos > kept.pos:
            return None
        new = set(changed)
        inside = [row for row in rows if row.membership == "join"]
        inside += [row for row in kept.rows if row.room_id not in new]
        self._keep(user, now, inside, marks)
        return now, inside + [row for row in rows if row.membership != "join"], marks

    def _keep(self, user: LiveUser, pos: int, rows: list[ListedRow], marks: _Marks) -> None:
        rows.sort(key=_place)
        self._kept.put(user.user_id, _Kept(pos, rows, marks))

    async def _children(self, spaces: list[RoomID]) -> dict[str, set[str]]:
        if not spaces:
            return {}
        found = await self._database.read(lambda tx: ListedRooms(tx).of_types(spaces, [CHILD] * len(spaces)))
        events = await self._events.by_nids({row.event_nid for row in found})
        children: dict[str, set[str]] = {}
        for row in found:
            stored = events.get(row.event_nid)
            via = None if stored is None else stored.event.content.get("via")
            if isinstance(via, list) and via:
                children.setdefault(row.room_id, set()).add(row.state_key)
        return children


def activity(row: ListedRow) -> int:
    """The position of what happened last of which the user may know."""
    return row.last_pos if row.membership == "join" else row.pos


def choose(
    request: SlidingRequest, rooms: Rooms, known: Collection[RoomID]
) -> tuple[dict[RoomID, Choice], dict[str, ListResult]]:
    """The rooms that are asked for, and how the lists are now. ``known`` are the rooms that the client was told of:
    these it may look at also when the user has left them.
    """
    choices: dict[RoomID, Choice] = {}
    results = {}
    for name, wanted in request.lists.items():
        rows = matching(wanted.filter, rooms)
        results[name] = ListResult(
            len(rows),
            [
                (window, [row.room_id for row in rows[window[0] : window[1] + 1]])
                for window in wanted.ranges or ()
            ],
        )
        for start, end in _windows(wanted, len(rows)):
            for row in rows[start : end + 1]:
                _add(choices, row, wanted.config, name)
    if request.subscriptions:
        for row in rooms.rows:
            config = request.subscriptions.get(row.room_id)
            if config is not None and (_is_listed(row) or row.room_id in known):
                _add(choices, row, config, None)
    return choices, results


def matching(filter: RoomFilter, rooms: Rooms) -> list[ListedRow]:
    """The rooms that belong to a list, the latest activity first."""
    return [row for row in rooms.rows if _is_listed(row) and matches(filter, row, rooms)]


def matches(filter: RoomFilter, row: ListedRow, rooms: Rooms) -> bool:
    """Whether a room belongs to a list."""
    room_id = row.room_id
    if filter.is_dm is not None and filter.is_dm != (room_id in rooms.direct):
        return False
    if filter.is_invited is not None and filter.is_invited != (row.membership == "invite"):
        return False
    if filter.spaces is not None and not any(
        room_id in rooms.children.get(space, ()) for space in filter.spaces
    ):
        return False
    return _matches_tags(filter, rooms.tags.get(room_id, ())) and _matches_room(filter, row)


def _matches_tags(filter: RoomFilter, tags: Collection[str]) -> bool:
    if filter.tags is not None and filter.tags.isdisjoint(tags):
        return False
    return filter.not_tags.isdisjoint(tags)


def _matches_room(filter: RoomFilter, row: ListedRow) -> bool:
    looks_at_type = filter.room_types is not None or filter.not_room_types
    if filter.is_encrypted is None and not looks_at_type and filter.name_like is None:
        return True
    name, room_type, encrypted = row.name, row.room_type, row.encryption is not None
    if row.stripped_state is not None:
        name, room_type, encrypted = _stripped_facts(row.stripped_state)
    if filter.is_encrypted is not None and filter.is_encrypted != encrypted:
        return False
    if room_type in filter.not_room_types:
        return False
    if filter.room_types is not None and room_type not in filter.room_types:
        return False
    return filter.name_like is None or filter.name_like.casefold() in (name or "").casefold()


def _stripped_facts(stripped: bytes) -> tuple[str | None, str | None, bool]:
    """Name, type, and whether it is encrypted, of a room that this server may not be in."""
    contents = {
        event.get("type"): event.get("content")
        for event in orjson.loads(bytes(stripped))
        if isinstance(event, dict) and event.get("state_key") == ""
    }
    name, room_type = (
        _text(contents.get(kind), key) for kind, key in (("m.room.name", "name"), ("m.room.create", "type"))
    )
    return name, room_type, "m.room.encryption" in contents


def _text(content: Any, key: str) -> str | None:
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, str) else None


def _is_listed(row: ListedRow) -> bool:
    """Rooms that the user left by themselves are in no list; those that they were thrown out of are."""
    if row.membership in ("leave", "ban"):
        return row.was_inside and row.sender != row.user_id and not row.forgotten
    return True


def _windows(wanted: RoomList, count: int) -> Iterable[tuple[int, int]]:
    return ((0, count - 1),) if wanted.ranges is None else wanted.ranges


def _add(choices: dict[RoomID, Choice], row: ListedRow, config: RoomConfig, name: str | None) -> None:
    choice = choices.get(row.room_id)
    if choice is None:
        choice = choices[row.room_id] = Choice(row, config)
    else:
        choice.config = choice.config | config
    if name is not None and name not in choice.lists:
        choice.lists.append(name)


def _place(row: ListedRow) -> tuple[int, str]:
    return -activity(row), row.room_id


def _read(tx: Transaction, user_id: UserID, since: int, tagged: bool) -> tuple[int, list[ListedRow], _Marks]:
    rows = ListedRooms(tx).of_user(user_id, since)
    now = rows[0].now if rows else Stream(tx).position()
    return now, rows, _marks(tx, user_id, tagged)


def _marks(tx: Transaction, user_id: UserID, tagged: bool) -> _Marks:
    marks = ListedRooms(tx).marks(user_id, tagged)
    tags = {room_id: _tags(content) for room_id, kind, content in marks if kind == "m.tag"}
    return _Marks(tagged, _direct(marks), tags)


def _direct(marks: Iterable[tuple[str, str, bytes]]) -> set[str]:
    """https://spec.matrix.org/v1.19/client-server-api/#mdirect"""
    contents: list[Any] = [
        orjson.loads(bytes(c)) for room, kind, c in marks if not room and kind == "m.direct"
    ]
    content = contents[0] if contents else {}
    found: set[str] = set()
    for rooms in content.values() if isinstance(content, dict) else ():
        if isinstance(rooms, list):
            found.update(room for room in rooms if isinstance(room, str))
    return found


def _tags(content: bytes) -> Collection[str]:
    tags = orjson.loads(bytes(content)).get("tags")
    return tags.keys() if isinstance(tags, dict) else ()
