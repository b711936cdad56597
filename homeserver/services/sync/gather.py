"""Gathers what many rooms have to tell one user, from the database, with few queries whatever the number of
rooms.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from homeserver.protocol.filters import RoomEventFilter
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sync.ephemera import RECEIPT, receipt_events
from homeserver.services.sync.lazy_members import LazyMembers
from homeserver.services.sync.model import MEMBER, Asking, Part, RoomUpdate, Timeline
from homeserver.services.sync.named_members import NamedMembers
from homeserver.services.sync.room_states import RoomStates
from homeserver.services.sync.summaries import Summaries, Summary
from homeserver.services.sync.timelines import Timelines
from storage.database import Database
from storage.tables.receipts import ReceiptRow, Receipts
from storage.transaction import Transaction

MAX_RECEIPTS: Final = 1000
"""Receipts of a room that one who knows none of them is told: the latest."""


class Gatherer:
    """Reads rooms."""

    def __init__(
        self,
        database: Database,
        timelines: Timelines,
        states: RoomStates,
        summaries: Summaries,
        lazy_members: LazyMembers,
        named: NamedMembers,
    ) -> None:
        self._named = named
        self._database = database
        self._timelines = timelines
        self._states = states
        self._summaries = summaries
        self._lazy_members = lazy_members

    async def updates(self, asking: Asking, parts: Sequence[Part]) -> list[RoomUpdate]:
        """What to tell of some rooms."""
        request = asking.request
        timelines = await self._timelines.read(
            asking.user_id, parts, request.filter.room.timeline, request.limit, asking.ignored
        )
        changes = await self._states.changes(parts, timelines)
        summaries = await self._summaries.read(
            [
                part.room_id
                for part in parts
                if part.left is None and (part.whole or changes[part.room_id].touch_summary())
            ]
        )
        members = self._wanted_members(asking, parts, timelines, summaries) if request.lazy else {}
        states = await self._states.read(request, parts, timelines, changes, members)
        receipts = await self._receipts(asking, parts)
        updates = []
        for part in parts:
            room_id = part.room_id
            update = RoomUpdate(room_id, timelines[room_id], states[room_id], always=part.whole)
            if room_id in summaries:
                update.summary = summaries[room_id].json(asking.user_id)
            if room_id in receipts:
                update.ephemeral += receipt_events(receipts[room_id], asking.ignored)
            if request.lazy:
                wanted = members.get(room_id, ())
                named = await self._named.of(room_id, timelines[room_id], wanted, update.state)
                update.state = [*update.state, *selected(named, request.filter.room.state)]
                told = told_members(update) | set(members.get(room_id, ()))
                self._lazy_members.tell(asking.client, room_id, told, asking.upto, anew=part.whole)
            updates.append(update)
        return updates

    def _wanted_members(
        self,
        asking: Asking,
        parts: Sequence[Part],
        timelines: Mapping[RoomID, Timeline],
        summaries: Mapping[RoomID, Summary],
    ) -> dict[RoomID, Collection[UserID]]:
        """Whose membership events go with the timelines: of those who say something, of heroes, and the
        user's own.
        """
        wanted: dict[RoomID, Collection[UserID]] = {}
        redundant = asking.request.filter.room.state.include_redundant_members
        for part in parts:
            room_id = part.room_id
            users = timelines[room_id].senders()
            summary = summaries.get(room_id)
            if summary is not None:
                users.update(summary.heroes_for(asking.user_id))
            if part.whole:
                users.add(asking.user_id)
            elif not redundant:
                users = set(self._lazy_members.unknown(asking.client, room_id, users, asking.since))
            wanted[room_id] = users
        return wanted

    async def _receipts(self, asking: Asking, parts: Sequence[Part]) -> dict[RoomID, list[ReceiptRow]]:
        filter = asking.request.filter.room.ephemeral
        if not filter.matches_type(RECEIPT):
            return {}
        inside = [part for part in parts if part.left is None and filter.matches_room(part.room_id)]
        whole = [part.room_id for part in inside if part.whole]
        others = [part.room_id for part in inside if not part.whole]
        if not inside:
            return {}
        rows = await self._database.read(lambda tx: _receipts(tx, asking, whole, others))
        found: dict[RoomID, list[ReceiptRow]] = {}
        for row in rows:
            found.setdefault(row.room_id, []).append(row)
        return found


def selected(events: Sequence[StoredEvent], filter: RoomEventFilter) -> list[StoredEvent]:
    """Those of some state events of a room that a filter lets pass, whose rooms it does."""
    return [each for each in events if filter.is_open or filter.matches_event(each.event)]


def told_members(update: RoomUpdate) -> set[UserID]:
    """Users whose membership events are in an update."""
    told = {UserID(s.event.state_key or "") for s in update.state if s.event.type == MEMBER}
    for seen in update.timeline.events:
        event = seen.stored.event
        if event.type == MEMBER and event.state_key is not None:
            told.add(UserID(event.state_key))
    return told


def newcomers_in(update: RoomUpdate) -> list[UserID]:
    """Users whose joins are in the timeline of an update, and nothing later of them."""
    joined: dict[str, bool] = {}
    for seen in update.timeline.events:
        event = seen.stored.event
        if event.type == MEMBER and event.state_key:
            joined[event.state_key] = event.content.get("membership") == "join"
    return [UserID(user_id) for user_id, is_there in joined.items() if is_there]


def _receipts(tx: Transaction, asking: Asking, whole: list[RoomID], others: list[RoomID]) -> list[ReceiptRow]:
    table = Receipts(tx)
    rows = table.latest(whole, asking.upto, asking.user_id, MAX_RECEIPTS) if whole else []
    if others and asking.since < asking.upto:
        rows += table.between(others, asking.since, asking.upto, asking.user_id)
    return rows
