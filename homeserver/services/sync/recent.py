"""What happened lately in the rooms whose members are here, kept in memory so that live clients need no database.

A room's record reaches back without a gap to its floor. What is older, or too much, is in the database.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from homeserver.protocol.identifiers import RoomID, StateKey
from homeserver.services.rooms.heads import RoomHead
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sync.summaries import Summary
from storage.caches import CacheBudget
from storage.tables.receipts import ReceiptRow

MAX_EVENTS: Final = 60
MAX_CHANGES: Final = 200
MAX_RECEIPTS: Final = 300
MAX_LOG: Final = 20_000
MAX_ROOMS: Final = 200_000


class Change(NamedTuple):
    """One change of current state, by event numbers; None is no entry."""

    room_id: RoomID
    pos: int
    key: StateKey
    current: int | None
    previous: int | None


class RecentRoom:
    """A room's latest events, state changes and receipts: all of them at positions after ``floor``.

    ``forked_pos`` is the position of the last event that was not built on the room's current state: up to
    there, memberships at events are not those of the room.
    """

    __slots__ = (
        "bytes",
        "changes",
        "events",
        "floor",
        "forked_pos",
        "head",
        "last_pos",
        "receipts",
        "rendered",
        "stored",
        "summary",
    )

    def __init__(self, floor: int, head: RoomHead | None) -> None:
        self.floor = floor
        self.head = head
        self.forked_pos = 0
        self.events: list[StoredEvent] = []
        self.changes: list[Change] = []
        self.stored: dict[int, StoredEvent] = {}
        self.receipts: list[ReceiptRow] = []
        self.last_pos = floor
        self.rendered: dict[object, bytes] = {}
        self.summary: Summary | None = None
        self.bytes = 1000

    def add(self, commit: RoomCommit) -> None:
        """Take in a committed write."""
        self.head = commit.head
        self.rendered.clear()
        if commit.changes:
            self.summary = None
        if commit.events:
            self.last_pos = commit.events[-1].pos or 0
        for struck in commit.redacted:
            self._replace(struck)
        for change in commit.changes:
            pos = change.cause.pos or 0
            nids = [None if each is None else each.nid for each in (change.current, change.previous)]
            self.changes.append(Change(commit.head.room_id, pos, change.key, nids[0], nids[1]))
            for each in (change.current, change.previous):
                if each is not None:
                    self.stored[each.nid] = each
        self.events.extend(commit.events)
        self.bytes += sum(400 + len(each.event.encoded()) for each in commit.events) + 300 * len(
            commit.changes
        )
        if commit.events and not is_linear(commit):
            self.forked_pos = commit.events[-1].pos or 0
        if len(self.events) > MAX_EVENTS or len(self.changes) > MAX_CHANGES:
            self._trim()

    def add_receipts(self, rows: Iterable[ReceiptRow]) -> None:
        """Take in committed receipts."""
        self.receipts.extend(rows)
        if len(self.receipts) > MAX_RECEIPTS:
            self._raise_floor(self.receipts[MAX_RECEIPTS // 2].pos)

    def since(self, pos: int) -> list[StoredEvent]:
        """The events after a position, in order."""
        events = self.events
        at = len(events)
        while at and (events[at - 1].pos or 0) > pos:
            at -= 1
        return events[at:]

    def _replace(self, struck: StoredEvent) -> None:
        if struck.nid in self.stored:
            self.stored[struck.nid] = struck
        for at, stored in enumerate(self.events):
            if stored.nid == struck.nid:
                self.events[at] = struck

    def _trim(self) -> None:
        keep = self.events[-(MAX_EVENTS // 2) :]
        floor = (keep[0].pos or 0) - 1 if keep else self.floor
        if len(self.changes) > MAX_CHANGES:
            floor = max(floor, self.changes[-(MAX_CHANGES // 2)].pos)
        self._raise_floor(floor)

    def _raise_floor(self, floor: int) -> None:
        self.floor = floor
        self.events = self.since(floor)
        self.changes = [change for change in self.changes if change.pos > floor]
        self.receipts = [row for row in self.receipts if row.pos > floor]
        named = {nid for change in self.changes for nid in (change.current, change.previous) if nid}
        self.stored = {nid: stored for nid, stored in self.stored.items() if nid in named}
        self.bytes = (
            1000 + sum(400 + len(each.event.encoded()) for each in self.events) + 300 * len(self.changes)
        )


def is_linear(commit: RoomCommit) -> bool:
    """Whether each event was built on what was the room's current state, so that the room's memberships are
    those at the event.
    """
    causes: dict[int, int] = {}
    for change in commit.changes:
        nid = change.cause.nid
        own = change.current is not None and change.current.nid == nid
        struck = (
            change.current is not None
            and change.previous is not None
            and change.current.nid == change.previous.nid
        )
        if not own and not struck:
            return False
        causes[nid] = causes.get(nid, 0) + 1
    state: int | None = commit.head.state.id
    for stored in reversed(commit.events):
        if stored.state_after != state:
            return False
        if stored.state_before != stored.state_after and stored.nid not in causes:
            return False
        state = stored.state_before
    return True


class RecentRooms:
    """Recent records by room, under the byte budget, and in which rooms something happened when."""

    def __init__(self, caches: CacheBudget) -> None:
        self._rooms = caches.cache("recent_rooms", lambda room: room.bytes)
        self._last: dict[RoomID, int] = {}
        self._log: list[tuple[int, RoomID]] = []
        self._log_start = 0
        self.log_floor = 2**63
        """`changed` knows nothing of positions up to this one."""

    def start(self, pos: int) -> None:
        """Begin at a position, or begin anew: what came before is in the database."""
        self._rooms.clear()
        self._last.clear()
        self._log.clear()
        self.log_floor = self._log_start = pos

    def find(self, room_id: RoomID, since: int) -> RecentRoom | None:
        """The record of a room if it reaches back to a position."""
        room: RecentRoom | None = self._rooms.get(room_id)
        return room if room is not None and room.floor <= since else None

    def changed(self, rooms: set[RoomID], since: int) -> list[RoomID] | None:
        """Those of some rooms in which something happened after a position; None if that is not known here."""
        if since < self.log_floor:
            return None
        log, last = self._log, self._last
        found: dict[RoomID, None] = {}
        at = len(log)
        while at and log[at - 1][0] > since:
            at -= 1
            if log[at][1] in rooms:
                found[log[at][1]] = None
            if len(log) - at > len(rooms):
                break
        else:
            if since >= self._log_start or at:
                return list(found)
        return [room_id for room_id in rooms if last.get(room_id, 0) > since]

    def last_pos(self, room_id: RoomID) -> int:
        """The position of what happened last in a room; 0 if that is not known."""
        return self._last.get(room_id, 0)

    def committed(self, commit: RoomCommit, first: int, last: int, *, watched: bool) -> None:
        """Take in a write of a room. Rooms that nobody watches keep no record, and none reaches over a gap."""
        room_id = commit.head.room_id
        if last:
            self._note(room_id, last)
        room: RecentRoom | None = self._rooms.get(room_id)
        if not watched or commit.behind_gap:
            if room is not None:
                self._rooms.pop(room_id)
            return
        if room is None:
            if not last:
                return
            room = RecentRoom(first - 1, commit.head)
        room.add(commit)
        self._rooms.put(room_id, room)

    def receipts(self, room_id: RoomID, rows: list[ReceiptRow], *, watched: bool) -> None:
        """Take in receipts of a room."""
        if not rows:
            return
        self._note(room_id, rows[-1].pos)
        room: RecentRoom | None = self._rooms.get(room_id)
        if not watched:
            if room is not None:
                self._rooms.pop(room_id)
            return
        if room is None:
            room = RecentRoom(rows[0].pos - 1, None)
        room.add_receipts(rows)
        self._rooms.put(room_id, room)

    def other(self, room_id: RoomID, pos: int) -> None:
        """Something else happened in a room, of which only the database has the details."""
        self._note(room_id, pos)
        self._rooms.pop(room_id)

    def _note(self, room_id: RoomID, pos: int) -> None:
        if len(self._last) > MAX_ROOMS:
            self.start(pos - 1)
        self._last[room_id] = pos
        self._log.append((pos, room_id))
        if len(self._log) > MAX_LOG:
            # The rest is found room by room.
            self._log_start = self._log[MAX_LOG // 2][0] - 1
            del self._log[: MAX_LOG // 2]
