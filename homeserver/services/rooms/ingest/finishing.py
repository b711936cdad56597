"""The write that makes a partial room whole.

The members' rows are written before, in pieces; so the write itself is short. Nobody is told of thousands of members
that came: to clients the room is one that its users have just come into.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from homeserver.protocol.identifiers import ServerName, StateKey, UserID, is_user_id, server_of
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.ingest.completion import Completion
from homeserver.services.rooms.ingest.importing import AT_ONCE, MEMBER, LargeState
from homeserver.services.rooms.ingest.order import oldest_first
from homeserver.services.rooms.ingest.placing import EventPlacer
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.persist import membership_row
from homeserver.services.rooms.redactions import RedactionEffects
from homeserver.services.rooms.state_change import StateChange
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent
from homeserver.services.rooms.writer import RoomWriter
from storage.bulk import Entry
from storage.database import Database
from storage.snapshots import Snapshot
from storage.tables.memberships import (
    EARLIER_MEMBERSHIPS,
    GONE_MEMBERSHIPS,
    LOCAL_MEMBERSHIP_CHANGES,
    MEMBERSHIPS,
    RENEWED_MEMBERSHIPS,
    Memberships,
)
from storage.tables.partial_rooms import PartialRoom
from storage.tables.partial_rooms import PartialRooms as Stored
from storage.tables.state import CURRENT_STATE, GONE_STATE, CurrentState
from storage.tables.sticky_events import DOUBTFUL_EVENTS, ONCE


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read for it."""

    database: Database
    events: EventStore
    states: StateStore
    placer: EventPlacer


class Finishing:
    """Gives rooms their members."""

    def __init__(
        self,
        reading: Reading,
        completion: Completion,
        large_state: LargeState,
        redactions: RedactionEffects,
        partial: PartialRooms,
        writer: RoomWriter,
        server_name: ServerName,
    ) -> None:
        self._redactions = redactions
        self._reading = reading
        self._completion = completion
        self._large_state = large_state
        self._partial = partial
        self._writer = writer
        self._server_name = server_name

    async def join(self, record: PartialRoom) -> StoredEvent:
        """The event by which a room was entered."""
        return (await self._reading.events.by_nids((record.join_nid,)))[record.join_nid]

    async def finish(self, record: PartialRoom, state: Iterable[StoredEvent]) -> None:
        """Add the members of the state before the join, as another server told it."""
        told = {one.event.key: one for one in state if one.event.key is not None and one.event.type == MEMBER}
        keys = list(told)
        for start in range(0, len(keys), AT_ONCE):
            await self._reading.states.key_ids(keys[start : start + AT_ONCE])
        await self._large_state.write_members(record.room_id, told)
        members = {key: one.nid for key, one in told.items()}
        await self._writer.write(
            record.room_id, lambda draft: self._finish(draft, record, members), alone=True
        )

    async def give_up(self, record: PartialRoom) -> None:
        """Note that a room that nobody here is in any more will not become whole."""

        async def job(draft: RoomDraft) -> None:
            if draft.partial and draft.head.summary.local_members == 0:
                draft.partial = False
                draft.entries += self._partial.closing(record)

        await self._writer.write(record.room_id, job, alone=True)

    async def _finish(self, draft: RoomDraft, record: PartialRoom, told: Mapping[StateKey, int]) -> None:
        reading = self._reading
        if not draft.partial:
            return
        draft.partial = False
        join = await self.join(record)
        since = join.pos or 0
        rows, current, local = await reading.database.read(
            lambda tx: (
                Stored(tx).events_since(record.room_id, record.join_nid, since),
                CurrentState(tx).of_types(record.room_id, [MEMBER]),
                Memberships(tx).local_joined(record.room_id),
            )
        )
        known = await reading.states.whole(await reading.states.snapshot(join.state_before or 0))
        added = {key: nid for key, nid in told.items() if key not in known}
        completed = await self._completion.of(draft, _in_order(reading.events.load(rows)), added)
        changes = await reading.placer.changes_between(draft, draft.state, completed.state, join)
        entries = await self._state_rows(
            record, completed.state, changes, {(kind, key): nid for kind, key, nid in current}
        )
        moved = {change.key for change in changes}
        entries += await self._shown_anew(record, completed.state, set(local), moved)
        draft.state, draft.extremities = completed.state, completed.extremities
        for snapshot in completed.snapshots:
            draft.keep_snapshot(snapshot)
        draft.learned.extend(changes)
        draft.restated.extend(completed.events)
        draft.entries += self._partial.closing(record, _joined(changes))
        draft.entries += entries
        await self._put_off(draft, completed.events)

    async def _put_off(self, draft: RoomDraft, events: Iterable[StoredEvent]) -> None:
        """What is done when the room is whole: to judge anew what was not accepted, to redact what could not be."""
        for stored in events:
            if stored.status is Status.SOFT_FAILED:
                draft.entries.append(DOUBTFUL_EVENTS.row(stored.nid, draft.head.room_id, ONCE))
            elif stored.status is Status.ACCEPTED:
                await self._redactions.owe(draft, stored)

    async def _state_rows(
        self,
        record: PartialRoom,
        state: Snapshot,
        changes: Iterable[StateChange],
        current: Mapping[StateKey, int],
    ) -> list[Entry]:
        """The rows of current state and of members of other servers that are not as they should be."""
        room_id, reading = record.room_id, self._reading
        wanted = {key: nid for key, nid in (await reading.states.whole(state)).items() if key[0] == MEMBER}
        wrong = {key: nid for key, nid in wanted.items() if current.get(key) != nid}
        events = await reading.events.by_nids(wrong.values())
        entries: list[Entry] = []
        for key, nid in wrong.items():
            entries.append(CURRENT_STATE.row(room_id, *key, nid))
            if is_user_id(key[1]) and not self._is_ours(key[1]):
                row = membership_row(events[nid], self._partial.position, local=False)
                entries.append(EARLIER_MEMBERSHIPS.row(*row))
        for key in current.keys() - wanted.keys():
            entries += [GONE_STATE.row(room_id, *key), GONE_MEMBERSHIPS.row(room_id, key[1])]
        for change in changes:
            if change.key[0] != MEMBER and change.current is not None:
                entries.append(CURRENT_STATE.row(room_id, *change.key, change.current.nid))
            elif change.key[0] != MEMBER:
                entries.append(GONE_STATE.row(room_id, *change.key))
        return entries

    async def _shown_anew(
        self, record: PartialRoom, state: Snapshot, there: Collection[UserID], moved: Collection[StateKey]
    ) -> list[Entry]:
        """What makes our users see the room as it is now: those who are in it, and those of whom we learn."""
        room_id, reading = record.room_id, self._reading
        ours = [
            key for key in await reading.states.whole(state) if key[0] == MEMBER and self._is_ours(key[1])
        ]
        members = await reading.states.lookup(state, ours)
        changes: list[Entry] = []
        rows: list[Entry] = []
        for key, stored in members.items():
            membership = stored.event.membership or "leave"
            values = (key[1], room_id, membership, stored.nid)
            renewed = key[1] in there and membership == "join"
            if renewed or key in moved:
                rows.append(MEMBERSHIPS.row(*membership_row(stored, len(changes), local=True)))
                table = RENEWED_MEMBERSHIPS if renewed else LOCAL_MEMBERSHIP_CHANGES
                changes.append(table.row(*values, True) if renewed else table.row(*values))
        return changes + rows

    def _is_ours(self, user_id: str) -> bool:
        return is_user_id(user_id) and server_of(user_id) == self._server_name


def _in_order(events: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Events in the order in which they build on each other."""
    by_id = {stored.event.event_id: stored for stored in events}
    return [by_id[event.event_id] for event in oldest_first([stored.event for stored in events])]


def _joined(changes: Iterable[StateChange]) -> dict[ServerName, int]:
    """How many members each server has more than was known."""
    joined: dict[ServerName, int] = {}
    for change in changes:
        if change.key[0] == MEMBER and is_user_id(change.key[1]):
            was, now = change.memberships
            if (was == "join") != (now == "join"):
                server = server_of(change.key[1])
                joined[server] = joined.get(server, 0) + (1 if now == "join" else -1)
    return joined
