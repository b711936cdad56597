"""The one way into the database for a room's events: a draft becomes one write of the journal."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace

from homeserver.protocol.events.sticky import STICKY, sticky_until
from homeserver.protocol.identifiers import (
    EventID,
    RoomID,
    ServerName,
    StateKey,
    UserID,
    is_user_id,
    server_of,
)
from homeserver.services.rooms.draft import RoomDraft, is_new
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.forgetting import Forgetting
from homeserver.services.rooms.heads import RoomHead, RoomHeads, pack_nids
from homeserver.services.rooms.notability import Notability
from homeserver.services.rooms.relation_rows import relation_rows
from homeserver.services.rooms.room_elsewhere import RoomElsewhere
from homeserver.services.rooms.state_change import StateChange
from homeserver.services.rooms.stored_event import Status, StoredEvent
from homeserver.services.rooms.summary import storable_text, summary_after
from storage.bulk import Entry
from storage.journal import Changes, Journal, Landed, LostRace, RoomGuard, Write
from storage.snapshots import Layer
from storage.tables.events import (
    BACKWARD_EXTREMITIES,
    FILLED_GAPS,
    REDACTED_EVENTS,
    RESTATED_EVENTS,
    TIMELINE_EVENTS,
    TIMELINE_GAPS,
    UNLISTED_EVENTS,
)
from storage.tables.memberships import MEMBERSHIP_CHANGES, MEMBERSHIPS
from storage.tables.outbox import EXTRA_RECIPIENTS
from storage.tables.rooms import (
    BUMPED_ROOMS,
    NEW_BUMPED_ROOMS,
    NEW_ROOMS,
    QUIET_ROOMS,
    ROOM_SERVERS,
    ROOMS,
    SUMMARIES,
)
from storage.tables.search import SEARCHED_TYPES, STRUCK_MESSAGES, UNINDEXED_MESSAGES
from storage.tables.state import CURRENT_STATE, GONE_STATE, SNAPSHOTS, STATE_CHANGES
from storage.tables.sticky_events import STICKY_EVENTS

_BUMPING = frozenset((
    "m.room.create", "m.room.message", "m.room.encrypted", "m.sticker", "m.call.invite", "m.poll.start",
    "org.matrix.msc3381.poll.start", "m.beacon_info", "org.matrix.msc3672.beacon_info",
))  # fmt: skip
"""What moves a room up in lists: "proper" activity (MSC4186)."""


@dataclass(frozen=True, slots=True)
class RoomCommit:
    """What a committed write did to a room: the journal's payload for those who follow rooms in memory.

    ``events`` are the new timeline events in order, their ``pos`` set; ``redacted`` the older ones that were
    redacted, as they are now; ``parents`` those to which others relate now. ``behind_gap``: before an event of them
    some are missing. ``whole`` says that all members of the room are known from now on, or that they are not; None:
    that did not change.
    """

    head: RoomHead
    events: tuple[StoredEvent, ...]
    changes: tuple[StateChange, ...]
    redacted: tuple[StoredEvent, ...] = ()
    parents: frozenset[EventID] = frozenset()
    behind_gap: bool = False
    whole: bool | None = None


class Persister:
    """Writes drafts. The write holds only if the room is still as the draft found it; otherwise `LostRace`."""

    def __init__(
        self,
        journal: Journal,
        heads: RoomHeads,
        events: EventStore,
        notability: Notability,
        forgetting: Forgetting,
    ) -> None:
        self._journal = journal
        self._heads = heads
        self._events = events
        self._notability = notability
        self._server_name = forgetting.server_name
        self._forgetting = forgetting
        journal.listen(self._landed, self._missed)

    async def commit(self, draft: RoomDraft) -> None:
        """Write a draft, durably; sets the positions of its events and the room's head. Raises `LostRace`."""
        timeline = draft.timeline()
        index = {stored.nid: number for number, stored in enumerate(timeline)}
        changes = [*draft.changes, *draft.learned]
        summary = summary_after(draft.head.summary, changes, self._server_name)
        head = replace(draft.next_head(), summary=summary)
        room_id = head.room_id
        mentions = await self._notability.mark(draft, timeline)
        entries = [_event_entry(stored) for stored in draft.events]
        entries += draft.entries
        entries += mentions
        entries += _sticky_entries(timeline)
        related, parents = relation_rows(draft, index)
        entries += related
        entries += _changed_event_entries(draft)
        entries += _search_entries(draft)
        entries += [layer_entry(room_id, layer) for layer in draft.layers]
        if draft.changes:
            entries += self._state_entries(draft, index)
        entries += _gap_entries(draft)
        if summary != draft.head.summary or draft.head.version == 0:
            entries.append(SUMMARIES.row(room_id, *astuple(summary)))
        entries.append(_room_entry(head, timeline))
        write: Write[None] = Write(
            entries=entries,
            guards=(RoomGuard(room_id, draft.head.version, head.version),) if draft.head.version else (),
            changes=Changes(frozenset((room_id,)), self._concerned_users(changes)),
            payload=RoomCommit(
                head,
                tuple(timeline),
                tuple(changes),
                (*draft.redacted, *draft.restated),
                parents,
                bool(draft.behind_gaps),
                None if draft.partial == draft.head.partial else not draft.partial,
            ),
        )
        try:
            await self._journal.write(write)
        except LostRace:
            self._heads.forget(room_id)
            raise
        for layer in draft.layers:
            layer.stored = True
        for stored in draft.events:
            if stored.pos is None:
                self._events.remember(stored)

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        for _, payload, positions in landed:
            if isinstance(payload, RoomElsewhere):
                self._heads.forget(payload.room_id)
                for nid in payload.changed:
                    self._events.changed_elsewhere(nid)
            if not isinstance(payload, RoomCommit):
                continue
            for stored, pos in zip(payload.events, positions, strict=False):
                stored.pos = stored.ordering = pos
                self._events.remember(stored)
            for stored in payload.redacted:
                self._events.remember(stored)
            last_pos = payload.events[-1].pos if payload.events else None
            self._heads.put(payload.head if last_pos is None else replace(payload.head, last_pos=last_pos))

    def _missed(self, upto: int) -> None:
        self._heads.forget_all()
        self._events.forget_all()

    def _concerned_users(self, changes: Sequence[StateChange]) -> frozenset[UserID]:
        return frozenset(UserID(change.key[1]) for change in changes if self._is_local_member(change.key))

    def _is_local_member(self, key: StateKey) -> bool:
        return key[0] == "m.room.member" and server_of(key[1]) == self._server_name

    def _state_entries(self, draft: RoomDraft, index: Mapping[int, int]) -> list[Entry]:
        room_id = draft.head.room_id
        entries = []
        final: dict[StateKey, StateChange] = {}
        by_cause: dict[tuple[int, StateKey], StateChange] = {}
        for change in draft.changes:
            final[change.key] = change
            by_cause[change.cause.nid, change.key] = change
        for change in by_cause.values():
            entries += self._change_entries(draft, change, index[change.cause.nid])
        for key, change in final.items():
            if change.cause.nid == draft.imported_by and key in draft.written_ahead:
                continue
            if change.current is None:
                entries.append(GONE_STATE.row(room_id, *key))
            else:
                entries.append(CURRENT_STATE.row(room_id, *key, change.current.nid))
            if key[0] == "m.room.member" and is_user_id(key[1]):
                entries.append(self._membership_entry(change, index))
        for change in draft.changes:
            outside = outside_server(change, self._server_name) if change.cause.outbound else None
            if outside is not None:
                entries.append(EXTRA_RECIPIENTS.row(outside, index[change.cause.nid], room_id))
        return entries + _server_entries(room_id, draft.changes, index)

    def _change_entries(self, draft: RoomDraft, change: StateChange, at: int) -> list[Entry]:
        """The records of one change; an import's are left out, but for memberships that differ by it."""
        room_id, key, cause = draft.head.room_id, change.key, change.cause.nid
        imported = cause == draft.imported_by
        entries = []
        if not imported:
            current, previous = _nid(change.current), _nid(change.previous)
            entries.append(STATE_CHANGES.row(room_id, at, *key, current, previous, cause))
        if self._is_local_member(key) and change.current is not None:
            was, membership = change.memberships
            if not imported or membership != was:
                entries.append(MEMBERSHIP_CHANGES.row(key[1], at, room_id, membership, change.current.nid))
        return entries

    def _membership_entry(self, change: StateChange, index: Mapping[int, int]) -> Entry:
        local = server_of(change.key[1]) == self._server_name
        at = index[change.cause.nid]
        if change.current is not None:
            forgotten = self._forgetting.is_forced(change.key[1], change.memberships[1])
            return MEMBERSHIPS.row(*membership_row(change.current, at, local=local, forgotten=forgotten))
        cause = change.cause
        user_id = change.key[1]
        forgotten = self._forgetting.is_forced(user_id, "leave")
        row = (
            server_of(user_id),
            "leave",
            cause.nid,
            cause.event.sender,
            at,
            local,
            None,
            None,
            None,
            forgotten,
        )
        return MEMBERSHIPS.row(cause.event.room_id, user_id, *row)


def membership_row(
    stored: StoredEvent, pos: int, *, local: bool, forgotten: bool = False
) -> tuple[object, ...]:
    """The columns of the row of a member, by the present membership event."""
    event = stored.event
    user_id = event.state_key or ""
    return (
        event.room_id,
        user_id,
        server_of(user_id),
        event.membership or "leave",
        stored.nid,
        event.sender,
        pos,
        local,
        None,
        storable_text(event.content, "displayname"),
        storable_text(event.content, "avatar_url"),
        forgotten,
    )


def outside_server(change: StateChange, server_name: ServerName) -> ServerName | None:
    """The other server that is to hear of a change although it may have nobody in the room: its user is no longer
    invited, or knocks in vain.
    """
    if change.key[0] != "m.room.member" or not is_user_id(change.key[1]):
        return None
    was, now = change.memberships
    server = server_of(change.key[1])
    if was not in ("invite", "knock") or now not in ("leave", "ban"):
        return None
    return None if server in (server_name, server_of(change.cause.event.sender)) else server


def _nid(stored: StoredEvent | None) -> int | None:
    return None if stored is None else stored.nid


def _server_entries(room_id: RoomID, changes: Sequence[StateChange], index: Mapping[int, int]) -> list[Entry]:
    """How many members each server won or lost, and when it last did."""
    joins: dict[ServerName, int] = {}
    when: dict[ServerName, int] = {}
    for change in changes:
        if change.key[0] != "m.room.member" or not is_user_id(change.key[1]):
            continue
        was, now = change.memberships
        if (was == "join") != (now == "join"):
            server = server_of(change.key[1])
            joins[server] = joins.get(server, 0) + (1 if now == "join" else -1)
            when[server] = index[change.cause.nid]
    return [
        ROOM_SERVERS.row(room_id, server, count, when[server]) for server, count in joins.items() if count
    ]


def event_row(stored: StoredEvent) -> tuple[object, ...]:
    """The columns of an event's row, without its place."""
    event = stored.event
    return (
        stored.nid,
        event.event_id,
        event.room_id,
        event.version.id,
        event.depth,
        event.type,
        event.state_key,
        event.sender,
        event.origin_server_ts,
        stored.received_ts,
        stored.outbound,
        int(stored.status),
        stored.state_before,
        stored.state_after,
        stored.transaction,
        stored.redacted_by,
        None if event.state_key is None else pack_nids(stored.auth_nids),
        stored.thread,
        stored.notable,
        event.encoded().decode(),
    )


def _event_entry(stored: StoredEvent) -> Entry:
    if is_new(stored):
        return TIMELINE_EVENTS.row(*event_row(stored))
    return UNLISTED_EVENTS.row(*event_row(stored), stored.ordering)


def _changed_event_entries(draft: RoomDraft) -> list[Entry]:
    """What the draft makes of events that were written before."""
    redacted = [
        REDACTED_EVENTS.row(stored.nid, stored.redacted_by, stored.event.encoded().decode())
        for stored in draft.redacted
    ]
    return redacted + [
        RESTATED_EVENTS.row(stored.nid, int(stored.status), stored.state_before, stored.state_after)
        for stored in draft.restated
    ]


def _sticky_entries(timeline: Sequence[StoredEvent]) -> list[Entry]:
    """The new events that are sticky."""
    entries = []
    for at, stored in enumerate(timeline):
        event = stored.event
        if STICKY in event.pdu:
            until = sticky_until(event, stored.received_ts)
            if until > stored.received_ts:
                entries.append(STICKY_EVENTS.row(event.room_id, at, stored.nid, stored.outbound, until))
    return entries


def _gap_entries(draft: RoomDraft) -> list[Entry]:
    room_id = draft.head.room_id
    return [
        *(BACKWARD_EXTREMITIES.row(room_id, event_id, depth) for event_id, depth in draft.gaps),
        *(TIMELINE_GAPS.row(room_id, nid) for nid in draft.behind_gaps),
        *(FILLED_GAPS.row(room_id, event_id) for event_id in draft.filled_gaps),
    ]


def _search_entries(draft: RoomDraft) -> list[Entry]:
    """What redactions take out of the index of messages, and what of the past it still has to look at."""
    struck = [STRUCK_MESSAGES.row(stored.nid) for stored in draft.redacted]
    return struck + [
        UNINDEXED_MESSAGES.row(stored.nid)
        for stored in draft.events
        if stored.ordering is not None and stored.event.type in SEARCHED_TYPES
        if stored.status is Status.ACCEPTED
    ]


def layer_entry(room_id: RoomID, layer: Layer) -> Entry:
    return SNAPSHOTS.row(
        layer.snapshot_id, room_id, layer.parent, layer.size, layer.hash_bytes(), layer.packed()
    )


def _room_entry(head: RoomHead, timeline: Sequence[StoredEvent]) -> Entry:
    extremities = pack_nids(extremity.nid for extremity in head.extremities)
    row = (head.room_id, head.room_version.id, head.version, head.state.id, extremities, head.depth)
    last = len(timeline) - 1
    if last < 0:
        return QUIET_ROOMS.row(*row, head.last_pos)
    bumps = [index for index, stored in enumerate(timeline) if stored.event.type in _BUMPING]
    if bumps:
        return (NEW_BUMPED_ROOMS if head.version == 1 else BUMPED_ROOMS).row(*row, last, bumps[-1])
    return (NEW_ROOMS if head.version == 1 else ROOMS).row(*row, last)
