"""The state to tell of many rooms, with few queries whatever the number of rooms."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.protocol.identifiers import RoomID, StateKey, UserID
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sliding_sync.required_state import MEMBER
from homeserver.services.sliding_sync.visits import Visit
from homeserver.services.sync.model import Timeline
from homeserver.services.sync.recent import Change
from homeserver.services.sync.room_states import RoomChanges
from homeserver.services.sync.state_delta import undone
from storage.database import Database
from storage.tables.sliding_sync import ListedRooms
from storage.tables.state import CurrentRow, CurrentState
from storage.transaction import Transaction

Members = Mapping[RoomID, Collection[UserID]]


@dataclass(slots=True)
class ToldState:
    """Entries as they are now, and those that are no more."""

    events: list[StoredEvent] = field(default_factory=list)
    gone: list[StateKey] = field(default_factory=list)


class SlidingStates:
    """Reads the state that clients ask for."""

    def __init__(self, database: Database, states: StateStore, events: EventStore) -> None:
        self._database = database
        self._states = states
        self._events = events

    async def read(
        self,
        visits: Sequence[Visit],
        timelines: Mapping[RoomID, Timeline],
        changes: Mapping[RoomID, RoomChanges],
        members: Members,
        leaves: Mapping[RoomID, int],
    ) -> dict[RoomID, ToldState]:
        """What to tell of each room. ``members`` are those whose membership events are told, changed or not;
        ``leaves`` the events that ended the user's stays.
        """
        ends = await self._ends(visits, changes, members, leaves)
        told: dict[RoomID, dict[StateKey, int | None]] = {}
        for visit in visits:
            room_id = visit.room_id
            wanted = visit.config.state
            extra = members.get(room_id, ())
            entries: dict[StateKey, int | None] = {
                key: nid
                for key, nid in ends[room_id].items()
                if (key[0] == MEMBER and key[1] in extra)
                or (wanted.wants(key) and (visit.initial or not visit.before.wants(key)))
            }
            if not visit.initial:
                entries |= _changed(visit, timelines[room_id], changes[room_id].within)
            told[room_id] = entries
        found = await self._events.by_nids({nid for each in told.values() for nid in each.values() if nid})
        return {
            room_id: ToldState(
                [found[nid] for nid in entries.values() if nid in found],
                [key for key, nid in entries.items() if nid is None],
            )
            for room_id, entries in told.items()
        }

    async def _ends(
        self,
        visits: Sequence[Visit],
        changes: Mapping[RoomID, RoomChanges],
        members: Members,
        leaves: Mapping[RoomID, int],
    ) -> dict[RoomID, dict[StateKey, int]]:
        """Entries that are told whatever changed, as they are in the end."""
        looked_at = [visit for visit in visits if visit.inside and (visit.initial or visit.state_grew)]
        pairs = [(visit.room_id, user) for visit in visits for user in members.get(visit.room_id, ())]
        rows: Sequence[CurrentRow] = ()
        if looked_at or pairs:
            rows = await self._database.read(lambda tx: _rows(tx, looked_at, pairs))
        ends: dict[RoomID, dict[StateKey, int]] = {visit.room_id: {} for visit in visits}
        for row in rows:
            ends[row.room_id][row.type, row.state_key] = row.event_nid
        for visit in visits:
            later = changes[visit.room_id].later
            if later and visit.inside:
                ends[visit.room_id] = undone(ends[visit.room_id], later)
            elif visit.is_past and visit.initial:
                ends[visit.room_id] = await self.at_leave(leaves.get(visit.room_id, 0))
        return ends

    async def at_leave(self, nid: int) -> dict[StateKey, int]:
        """The state of a room when the user left it."""
        leave = (await self._events.by_nids((nid,))).get(nid)
        if leave is None or leave.state_after is None:
            return {}
        return await self._states.whole(await self._states.snapshot(leave.state_after))


def _changed(visit: Visit, timeline: Timeline, within: Sequence[Change]) -> dict[StateKey, int | None]:
    """What became of wanted entries that changed. Who reads members lazily is told all changes of members where
    the timeline has no gap.
    """
    wanted = visit.config.state
    all_members = wanted.lazy and not timeline.limited
    ends: dict[StateKey, int | None] = {}
    for change in within:
        if wanted.wants(change.key) or (all_members and change.key[0] == MEMBER):
            ends[change.key] = change.current
    return ends


def _rows(
    tx: Transaction, visits: Sequence[Visit], pairs: Sequence[tuple[RoomID, UserID]]
) -> list[CurrentRow]:
    whole: list[RoomID] = []
    but_members: list[RoomID] = []
    types: list[tuple[RoomID, str]] = []
    keys = [(room_id, MEMBER, str(user_id)) for room_id, user_id in pairs]
    for visit in visits:
        room_id, lookups = visit.room_id, visit.config.state.lookups()
        if lookups.whole:
            whole.append(room_id)
        elif lookups.but_members:
            but_members.append(room_id)
        types += [(room_id, kind) for kind in lookups.types]
        keys += [(room_id, kind, key) for kind, key in lookups.keys]
    listed, current = ListedRooms(tx), CurrentState(tx)
    rows = current.whole(whole) if whole else []
    if but_members:
        rows += current.without_members(but_members)
    if types:
        rows += listed.of_types([room for room, _ in types], [kind for _, kind in types])
    if keys:
        rows += listed.entries(
            [room for room, _, _ in keys], [kind for _, kind, _ in keys], [key for _, _, key in keys]
        )
    return rows
