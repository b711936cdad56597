"""The state that goes with the timelines of many rooms, with few queries whatever the number of rooms."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.protocol.identifiers import RoomID, StateKey, UserID
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sync.model import MEMBER, SUMMARISED, Part, SyncRequest, Timeline
from homeserver.services.sync.recent import Change
from homeserver.services.sync.state_delta import changed, told_of, undone
from storage.database import Database
from storage.tables.state import CurrentRow, CurrentState
from storage.transaction import Transaction


@dataclass(slots=True)
class RoomChanges:
    """State changes of a room: those up to the end of a part, and ``later`` ones that the part must not
    show.
    """

    within: list[Change] = field(default_factory=list)
    later: list[Change] = field(default_factory=list)

    def touch_summary(self) -> bool:
        """Whether the room's summary may have changed with them."""
        return any(change.key[0] in SUMMARISED for change in self.within)


class RoomStates:
    """Reads state and its changes."""

    def __init__(self, database: Database, states: StateStore, events: EventStore) -> None:
        self._database = database
        self._states = states
        self._events = events

    async def changes(
        self, parts: Sequence[Part], timelines: Mapping[RoomID, Timeline]
    ) -> dict[RoomID, RoomChanges]:
        """What changed in each part; for a whole one, since its timeline began."""
        rooms = [part.room_id for part in parts]
        sinces = [
            min(part.upto, timelines[part.room_id].start - 1) if part.whole else part.since for part in parts
        ]
        rows = await self._database.read(lambda tx: CurrentState(tx).changes_since(rooms, sinces))
        found = {room_id: RoomChanges() for room_id in rooms}
        uptos = {part.room_id: part.upto for part in parts}
        for row in rows:
            change = Change(row.room_id, row.pos, (row.type, row.state_key), row.event_nid, row.previous_nid)
            changes = found[row.room_id]
            (changes.within if row.pos <= uptos[row.room_id] else changes.later).append(change)
        return found

    async def read(
        self,
        request: SyncRequest,
        parts: Sequence[Part],
        timelines: Mapping[RoomID, Timeline],
        changes: Mapping[RoomID, RoomChanges],
        members: Mapping[RoomID, Collection[UserID]],
    ) -> dict[RoomID, list[StoredEvent]]:
        """The state to tell with each part's timeline. Where members are loaded lazily, ``members`` are
        those who are wanted, changed or not.
        """
        ends = await self._ends(request, parts, changes, members)
        wanted: dict[RoomID, list[int]] = {}
        for part in parts:
            room_id = part.room_id
            timeline, within = timelines[room_id], changes[room_id].within
            told = told_of(ends[room_id], within, timeline.start, timeline.nids(), after=request.state_after)
            if not part.whole:
                told |= changed(within, timeline.start, timeline.nids(), after=request.state_after)
            filter = request.filter.room.state
            wanted[room_id] = (
                [nid for key, nid in told.items() if filter.matches_type(key[0])]
                if filter.matches_room(room_id)
                else []
            )
        found = await self._events.by_nids({nid for nids in wanted.values() for nid in nids})
        return {
            room_id: [
                found[nid]
                for nid in nids
                if nid in found
                and (
                    request.filter.room.state.is_open
                    or request.filter.room.state.matches_event(found[nid].event)
                )
            ]
            for room_id, nids in wanted.items()
        }

    async def _ends(
        self,
        request: SyncRequest,
        parts: Sequence[Part],
        changes: Mapping[RoomID, RoomChanges],
        members: Mapping[RoomID, Collection[UserID]],
    ) -> dict[RoomID, dict[StateKey, int]]:
        """The entries to tell whatever changed, as they are at the end of each part."""
        past = [part for part in parts if part.whole and part.left is not None]
        now = [part for part in parts if not (part.whole and part.left is not None)]
        whole = [part.room_id for part in now if part.whole]
        pairs = [(part.room_id, user_id) for part in now for user_id in members.get(part.room_id, ())]
        rows = await self._database.read(lambda tx: _rows(tx, whole, request.lazy, pairs))
        ends: dict[RoomID, dict[StateKey, int]] = {part.room_id: {} for part in parts}
        for row in rows:
            ends[row.room_id][row.type, row.state_key] = row.event_nid
        for part in now:
            later = changes[part.room_id].later
            if later:
                wanted = members.get(part.room_id, ())
                later = [change for change in later if _is_wanted(change.key, part, request.lazy, wanted)]
                ends[part.room_id] = undone(ends[part.room_id], later)
        for part in past:
            ends[part.room_id] = await self._at_leave(part, request.lazy, members.get(part.room_id, ()))
        return ends

    async def _at_leave(self, part: Part, lazy: bool, members: Collection[UserID]) -> dict[StateKey, int]:
        """The state of a room when the user left it."""
        leave = (await self._events.by_nids((part.left or 0,))).get(part.left or 0)
        if leave is None or leave.state_after is None:
            return {}
        state = await self._states.whole(await self._states.snapshot(leave.state_after))
        if not lazy:
            return state
        return {key: nid for key, nid in state.items() if key[0] != MEMBER or key[1] in members}


def _is_wanted(key: StateKey, part: Part, lazy: bool, members: Collection[UserID]) -> bool:
    if key[0] == MEMBER and (lazy or not part.whole):
        return key[1] in members
    return part.whole


def _rows(
    tx: Transaction, whole: list[RoomID], lazy: bool, pairs: Sequence[tuple[RoomID, UserID]]
) -> list[CurrentRow]:
    table = CurrentState(tx)
    rows: list[CurrentRow] = []
    if whole:
        rows += table.without_members(whole) if lazy else table.whole(whole)
    if pairs:
        rows += table.members([room_id for room_id, _ in pairs], [user_id for _, user_id in pairs])
    return rows
