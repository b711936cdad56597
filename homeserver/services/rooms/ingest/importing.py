"""Bringing a room in that this server enters through another one: its state, what authorises it, and the
event by which we enter.

https://spec.matrix.org/v1.19/server-server-api/#joining-rooms. The state and its auth chain are stored first,
in pieces, as events without a place; then one write makes them the state of the room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homeserver.clock import Clock
from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.errors import BadGateway
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, StateKey, is_user_id, server_of
from homeserver.protocol.room_versions import RoomVersion
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import extremity_of
from homeserver.services.rooms.ingest.outliers import Outliers
from homeserver.services.rooms.ingest.placing import EventPlacer
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.persist import membership_row
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent
from homeserver.services.rooms.writer import RoomWriter
from storage.bulk import Entry
from storage.journal import Journal, Write
from storage.snapshots import Snapshot
from storage.tables.memberships import EARLIER_MEMBERSHIPS, MEMBERSHIPS_AHEAD
from storage.tables.partial_rooms import NEW_PARTIAL_ROOMS
from storage.tables.state import CURRENT_STATE, CURRENT_STATE_AHEAD

AT_ONCE = 1000
"""Rows of current state in one write."""

MEMBER = "m.room.member"
_CREATE = ("m.room.create", "")


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a server that is in the room answered to our join: the state before it (None for what is no event), and all
    events of it and of what leads to it that stood up to the first checks.
    """

    room_id: RoomID
    version: RoomVersion
    join: Event
    state: Sequence[EventID | None]
    events: Sequence[Event]
    omitted: "Omitted | None" = None


@dataclass(frozen=True, slots=True)
class Omitted:
    """That most members were left out: by whom, and which servers are in the room."""

    by: ServerName
    servers: Sequence[ServerName]


class LargeState:
    """Writes the rows of a large state before the write that makes it a room's, so that this one is short."""

    def __init__(self, journal: Journal, server_name: ServerName) -> None:
        self._journal = journal
        self._server_name = server_name

    async def write(self, entrance: Entrance, state: Mapping[StateKey, StoredEvent]) -> frozenset[StateKey]:
        """Write the rows of a large state in pieces, so that the write that makes it the room's is short;
        gives whose rows these are.

        Nobody reads them before, and those of our own users are left to that write.
        """
        written = []
        entries: list[Entry] = []
        for key, stored in state.items():
            if key == entrance.join.key or self._is_ours(key):
                continue
            written.append(key)
            entries.append(CURRENT_STATE.row(entrance.room_id, *key, stored.nid))
            if stored.event.membership is not None and is_user_id(key[1]):
                row = membership_row(stored, self._journal.position, local=False)
                entries.append(EARLIER_MEMBERSHIPS.row(*row))
            if len(entries) >= AT_ONCE:
                await self._journal.write(Write(entries=entries))
                entries = []
        await self._journal.write(Write(entries=entries))
        return frozenset(written)

    async def write_members(self, room_id: RoomID, members: Mapping[StateKey, StoredEvent]) -> None:
        """Write the rows of members of a room that is in use, in pieces, but for those of whom it has rows by now."""
        entries: list[Entry] = []
        for key, stored in members.items():
            if self._is_ours(key) or not is_user_id(key[1]):
                continue
            entries.append(CURRENT_STATE_AHEAD.row(room_id, *key, stored.nid))
            row = membership_row(stored, self._journal.position, local=False)
            entries.append(MEMBERSHIPS_AHEAD.row(*row))
            if len(entries) >= AT_ONCE:
                await self._journal.write(Write(entries=entries))
                entries = []
        await self._journal.write(Write(entries=entries))

    def _is_ours(self, key: StateKey) -> bool:
        return key[0] == MEMBER and server_of(key[1]) == self._server_name


class RoomImport:
    """Makes a room of another server one of ours."""

    def __init__(
        self,
        outliers: Outliers,
        states: StateStore,
        placer: EventPlacer,
        writer: RoomWriter,
        large_state: LargeState,
        partial: PartialRooms,
        clock: Clock,
    ) -> None:
        self._outliers = outliers
        self._states = states
        self._placer = placer
        self._writer = writer
        self._large_state = large_state
        self._partial = partial
        self._clock = clock

    async def bring_in(self, entrance: Entrance) -> StoredEvent:
        """Store the room as of the join; gives the join. Raises BadGateway for an answer that is not the
        state of this room.
        """
        saved = await self._outliers.save(entrance.events)
        state = _state(entrance, saved)
        _check_create(entrance, state.get(_CREATE))
        known = state if entrance.omitted is None else _members_named(entrance.join, saved) | state
        try:
            check_auth(entrance.join, lambda event_type, key: _event(known.get((event_type, key))))
        except NotAuthorised as error:
            raise BadGateway(f"The room's state does not allow the join: {error.message}") from error
        ahead: frozenset[StateKey] = frozenset()
        if len(state) > AT_ONCE:
            await self._number(list(state))
            ahead = await self._large_state.write(entrance, state)
        return await self._writer.write(
            entrance.room_id,
            lambda draft: self._enter(draft, entrance, state, ahead),
            create=entrance.version,
        )

    async def _number(self, keys: Sequence[StateKey]) -> None:
        """Have the keys of a large state numbered in pieces, which takes a while."""
        for start in range(0, len(keys), AT_ONCE):
            await self._states.key_ids(keys[start : start + AT_ONCE])

    async def _enter(
        self,
        draft: RoomDraft,
        entrance: Entrance,
        state: dict[StateKey, StoredEvent],
        ahead: frozenset[StateKey],
    ) -> StoredEvent:
        join = entrance.join
        known = draft.by_id.get(join.event_id) or self._placer.known(join.event_id)
        if known is not None and not known.is_outlier:
            return known
        was = draft.state
        before = await self._states.derive(Snapshot(), {key: stored.nid for key, stored in state.items()})
        await self._clock.sleep(0)  # each of these steps takes a while if the state is large
        stored, after = await self._placer.put(draft, join, before, known)
        draft.extremities = (extremity_of(stored),)
        draft.state = after
        draft.gaps.extend((prev_id, join.depth) for prev_id in join.prev_event_ids)
        draft.behind_gaps.append(stored.nid)
        await self._clock.sleep(0)
        draft.changes.extend(await self._placer.changes_between(draft, was, after, stored))
        await self._clock.sleep(0)
        draft.imported_by, draft.written_ahead = stored.nid, ahead
        await self._note_omitted(draft, entrance, stored)
        return stored

    async def _note_omitted(self, draft: RoomDraft, entrance: Entrance, join: StoredEvent) -> None:
        """Put on record that the members are to be asked for, or that they are here, where they were not so far."""
        room_id, omitted = entrance.room_id, entrance.omitted
        if draft.partial:
            record = await self._partial.record(room_id)
            draft.entries += [] if record is None else self._partial.closing(record)
        draft.partial = omitted is not None
        if omitted is not None:
            now, servers = self._clock.now_ms(), list(omitted.servers)
            draft.entries.append(NEW_PARTIAL_ROOMS.row(room_id, join.nid, omitted.by, servers, now))
            draft.entries += self._partial.server_rows(room_id, dict.fromkeys(servers, 1))


def _state(entrance: Entrance, saved: Mapping[EventID, StoredEvent]) -> dict[StateKey, StoredEvent]:
    """The state before the join, of those events that their auth events allow."""
    state: dict[StateKey, StoredEvent] = {}
    for event_id in entrance.state:
        stored = None if event_id is None else saved.get(event_id)
        if stored is not None and stored.event.key and stored.status is not Status.REJECTED:
            state[stored.event.key] = stored
    return state


def _members_named(join: Event, saved: Mapping[EventID, StoredEvent]) -> dict[StateKey, StoredEvent]:
    """The memberships that the join names: they may have been left out of the state."""
    named = (saved[one] for one in join.auth_event_ids if one in saved)
    return {
        one.event.key: one
        for one in named
        if one.event.key is not None and one.event.type == MEMBER and one.status is not Status.REJECTED
    }


def _check_create(entrance: Entrance, create: StoredEvent | None) -> None:
    if create is None:
        raise BadGateway("The room's state has no create event")
    if create.event.content.get("room_version", "1") != entrance.version.id:
        raise BadGateway("The room is of another version than the server said")


def _event(stored: StoredEvent | None) -> Event | None:
    return None if stored is None else stored.event
