"""Answers from memory for clients that were here a moment ago: no database, and bytes shared by all who see
the same.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.account_data import changed_between
from homeserver.services.receipts import READ_PRIVATE
from homeserver.services.rooms.access import Seen
from homeserver.services.rooms.rendering import Viewer
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sync.catch_up import decides_on_invites
from homeserver.services.sync.ephemera import (
    RECEIPT,
    account_data_events,
    latest_receipts,
    receipt_events,
)
from homeserver.services.sync.gather import selected, told_members
from homeserver.services.sync.live import LiveUser
from homeserver.services.sync.model import MEMBER, SUMMARISED, Asking, RoomUpdate, Timeline
from homeserver.services.sync.recent import Change, RecentRoom
from homeserver.services.sync.rendering import Answer, joined_room, no_history
from homeserver.services.sync.sources import Sources
from homeserver.services.sync.state_delta import changed, told_of

MAX_RENDERED: Final = 40
"""Renderings that a room keeps: of one second, as events tell their age."""


class Fresh:
    """Gathers from memory."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._recent = sources.recent
        self._here = sources.here
        self._lazy_members = sources.lazy_members

    async def answer(self, asking: Asking, user: LiveUser, viewer: Viewer) -> Answer | None:
        """Everything after ``asking.since``, or None if memory does not reach back so far."""
        rooms = self._rooms(asking, user)
        if rooms is None:
            return None
        answer = Answer()
        account_data: dict[RoomID, list[bytes]] = {}
        recounted: Collection[RoomID] = ()
        updates = {room_id: self._update(asking, room_id, room) for room_id, room in rooms.items()}
        if user.data_pos > asking.since:
            threads = self._here.thread_rules
            data = await self._sources.database.read(
                lambda tx: changed_between(
                    tx, asking.user_id, asking.since, asking.upto, thread_rules=threads
                )
            )
            if decides_on_invites(data):
                return None
            filter = asking.request.filter
            answer.account_data, account_data = account_data_events(
                data, filter.account_data, filter.room.account_data
            )
            recounted = await self._sources.unread.after(
                asking.user_id, data, user.rooms, (asking.since, asking.upto)
            )
        others = [*account_data, *recounted, *self._here.typing.changed(user.rooms, asking.ephemeral_since)]
        for room_id in others:
            if room_id in user.rooms and room_id not in updates and self._wants(asking, room_id):
                updates[room_id] = RoomUpdate(room_id, Timeline((), False, asking.upto + 1))
        for room_id in recounted:
            if room_id in updates:
                updates[room_id].always = True
        await self._sources.unread.tell(asking, updates.values())
        for room_id, update in updates.items():
            update.account_data = account_data.get(room_id, [])
            self._here.add_typing(asking, update)
            room = rooms.get(room_id)
            history = (
                no_history(asking.upto, asking.request.state_name)
                if room is None
                else await self._history(asking, update, room, viewer)
            )
            if update.is_news:
                sticky = await self._sources.renderer.sticky(update, viewer, asking.request.filter)
                answer.join.append(joined_room(update, history, sticky))
        await self._add_presence(asking, user, rooms.values(), answer)
        return answer

    async def _add_presence(
        self, asking: Asking, user: LiveUser, rooms: Iterable[RecentRoom], answer: Answer
    ) -> None:
        newcomers = [user_id for room in rooms for user_id in _newcomers(room, asking.since)]
        if newcomers or self._here.presence.position > asking.ephemeral_since:
            answer.presence, answer.presence_upto = await self._here.presence_events(
                asking, user, newcomers=newcomers
            )

    def _rooms(self, asking: Asking, user: LiveUser) -> dict[RoomID, RecentRoom] | None:
        """The rooms in which something happened; None if memory does not hold all of it."""
        since = asking.since
        if asking.request.filter.room.timeline.asks_for_children:
            return None
        changed_rooms = self._recent.changed(user.rooms, since)
        if user.membership_pos > since or changed_rooms is None:
            return None
        rooms = {}
        for room_id in changed_rooms:
            room = self._recent.find(room_id, since)
            if room is None or room.forked_pos > since:
                return None
            if self._wants(asking, room_id):
                rooms[room_id] = room
        return rooms

    def _wants(self, asking: Asking, room_id: RoomID) -> bool:
        return room_id not in asking.hidden and asking.request.filter.room.matches_room(room_id)

    def _update(self, asking: Asking, room_id: RoomID, room: RecentRoom) -> RoomUpdate:
        """A room's news but for state: all events are visible to who was in the room all the time."""
        request = asking.request
        filter, limit = request.filter.room.timeline, request.limit
        new = events = room.since(asking.since)
        if not (filter.is_open and not asking.ignored):
            events = [stored for stored in events if _passes(asking, stored)]
        limited = len(events) > limit
        if limited:
            events = events[len(events) - limit :]
        start = (events[0].pos or 0) if events else asking.upto + 1
        timeline = Timeline([Seen(stored, "join") for stored in events], limited, start)
        update = RoomUpdate(room_id, timeline)
        if len(events) < len(new):
            shown = timeline.nids()
            sticky = self._sources.sticky.among(stored for stored in new if stored.nid not in shown)
            update.sticky = [stored for stored in sticky if stored.event.sender not in asking.ignored]
        ephemeral = request.filter.room.ephemeral
        if not (room.receipts and room.receipts[-1].pos > asking.since):
            return update
        update.always = any(row.pos > asking.since and row.user_id == asking.user_id for row in room.receipts)
        if ephemeral.matches_type(RECEIPT) and ephemeral.matches_room(room_id):
            rows = latest_receipts(
                row
                for row in room.receipts
                if row.pos > asking.since
                and (row.receipt_type != READ_PRIVATE or row.user_id == asking.user_id)
            )
            update.ephemeral += receipt_events(rows, asking.ignored)
        return update

    async def _history(self, asking: Asking, update: RoomUpdate, room: RecentRoom, viewer: Viewer) -> bytes:
        """The timeline and the state that goes with it."""
        request = asking.request
        timeline = update.timeline
        changes = [change for change in room.changes if change.pos > asking.since] if room.changes else []
        changes = [change for change in changes if change.pos <= asking.upto]
        if not timeline.events and not changes:
            return no_history(asking.upto, request.state_name)
        members = self._members(asking, timeline, update.room_id) if request.lazy else []
        if any(_touches_summary(room, change) for change in changes):
            members += await self._summarise(asking, update, room)
        if changes or members:
            update.state = await self._state(asking, room, timeline, changes, members)
        if members:
            named = await self._sources.named.of(update.room_id, timeline, members, update.state)
            update.state = [*update.state, *selected(named, request.filter.room.state)]
        if request.lazy and (members or changes):
            told = told_members(update) | set(members)
            self._lazy_members.tell(asking.client, update.room_id, told, asking.upto)
        key = self._shared_key(asking, update, viewer)
        shown = None if key is None else room.rendered.get(key)
        if shown is None:
            shown = await self._sources.renderer.history(
                update, viewer, request.filter, state_name=request.state_name
            )
            if key is not None and asking.upto >= room.last_pos:
                if len(room.rendered) >= MAX_RENDERED:
                    room.rendered.clear()
                room.rendered[key] = shown
        return shown

    async def _summarise(self, asking: Asking, update: RoomUpdate, room: RecentRoom) -> list[UserID]:
        """Tell the room's summary; gives the heroes whom the client does not know as members."""
        if room.summary is None:
            found = await self._sources.summaries.read((update.room_id,))
            room.summary = found.get(update.room_id)
        if room.summary is None:
            return []
        update.summary = room.summary.json(asking.user_id)
        if not asking.request.lazy:
            return []
        heroes = room.summary.heroes_for(asking.user_id)
        return self._lazy_members.unknown(asking.client, update.room_id, heroes, asking.since)

    def _shared_key(self, asking: Asking, update: RoomUpdate, viewer: Viewer) -> object | None:
        """What tells the bytes of one reader from those of another; None for those that only this reader
        may see.
        """
        timeline, request = update.timeline, asking.request
        for seen in timeline.events:
            stored = seen.stored
            if stored.transaction is not None and stored.event.sender == viewer.user_id:
                return None
        if asking.ignored or self._sources.renderer.differ_by_reader(timeline):
            return None
        return (
            int(self._sources.clock.seconds()),
            timeline.start,
            len(timeline.events),
            timeline.limited,
            request.filter_text,
            request.state_name,
            tuple([stored.nid for stored in update.state]),
        )

    def _members(self, asking: Asking, timeline: Timeline, room_id: RoomID) -> list[UserID]:
        senders = timeline.senders()
        if asking.request.filter.room.state.include_redundant_members:
            return list(senders)
        return self._lazy_members.unknown(asking.client, room_id, senders, asking.since)

    async def _state(
        self,
        asking: Asking,
        room: RecentRoom,
        timeline: Timeline,
        changes: Sequence[Change],
        members: Sequence[UserID],
    ) -> list[StoredEvent]:
        request = asking.request
        shown, after = timeline.nids(), request.state_after
        known = dict(room.stored)
        told = {}
        if members and room.head is not None:
            found = await self._sources.states.lookup(
                room.head.state, [(MEMBER, user_id) for user_id in sorted(set(members))]
            )
            known |= {stored.nid: stored for stored in found.values()}
            end = {key: stored.nid for key, stored in found.items()}
            told = told_of(end, changes, timeline.start, shown, after=after)
        told |= changed(changes, timeline.start, shown, after=after)
        filter = request.filter.room.state
        return [
            known[nid]
            for nid in told.values()
            if nid in known and (filter.is_open or filter.matches_event(known[nid].event))
        ]


def _touches_summary(room: RecentRoom, change: Change) -> bool:
    """Whether a change of state may change the room's summary: a new name of a member does not."""
    if change.key[0] != MEMBER:
        return change.key[0] in SUMMARISED
    return _membership(room, change.current) != _membership(room, change.previous)


def _newcomers(room: RecentRoom, since: int) -> list[UserID]:
    """Users who came into a room after a position, and did not leave it again."""
    came: dict[str, bool] = {}
    for change in room.changes:
        if change.pos > since and change.key[0] == MEMBER:
            joined = _membership(room, change.current) == "join"
            came[change.key[1]] = joined and (
                came.get(change.key[1], False) or _membership(room, change.previous) != "join"
            )
    return [UserID(user_id) for user_id, is_new in came.items() if is_new]


def _membership(room: RecentRoom, nid: int | None) -> object:
    stored = None if nid is None else room.stored.get(nid)
    return None if stored is None else stored.event.content.get("membership")


def _passes(asking: Asking, stored: StoredEvent) -> bool:
    event = stored.event
    if event.sender in asking.ignored and event.state_key is None:
        return False
    filter = asking.request.filter.room.timeline
    return filter.is_open or filter.matches_event(event)
