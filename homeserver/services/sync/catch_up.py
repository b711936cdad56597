"""Answers for clients of whose past the memory knows too little: first syncs, late ones, and those after
one's own comings and goings.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.account_data import GLOBAL, changed_between, of_rooms
from homeserver.services.rooms.invite_permission import DECISIVE, unwanted_inviters
from homeserver.services.rooms.rendering import Viewer
from homeserver.services.sync.ephemera import account_data_events
from homeserver.services.sync.farewells import farewell
from homeserver.services.sync.gather import newcomers_in
from homeserver.services.sync.live import LiveUser
from homeserver.services.sync.model import Asking, Part, RoomUpdate
from homeserver.services.sync.rendering import Answer, stripped_rooms
from homeserver.services.sync.rooms_of_user import Stay, Stays
from homeserver.services.sync.sources import Sources
from storage.tables.account_data import AccountDatum
from storage.tables.memberships import Memberships
from storage.tables.rooms import Rooms
from storage.transaction import Transaction

CHUNK: Final = 100
"""Rooms that are read and rendered at a time; between chunks others get their turn."""


class CatchUp:
    """Gathers from the database."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def answer(self, asking: Asking, user: LiveUser, viewer: Viewer) -> Answer:
        """Everything after ``asking.since``, which is 0 for a first sync."""
        sources, request = self._sources, asking.request
        include_leave = request.filter.room.include_leave and (not asking.since or request.full_state)
        stays = await sources.rooms_of_user.read(
            asking.user_id, asking.since or None, asking.upto, left=include_leave
        )
        stays.hide(asking.hidden)
        answer = Answer()
        came = {stay.room_id for stay in stays.joined() if stay.came or not asking.since}
        threads = sources.here.thread_rules
        data = await sources.database.read(lambda tx: _account_data(tx, asking, list(came), threads))
        filter = request.filter
        answer.account_data, account_data = account_data_events(
            data, filter.account_data, filter.room.account_data
        )
        others = {stay.room_id for stay in stays.joined()} - came
        recounted = await self._recounted(asking, data, others) if asking.since else set()
        parts = await self._parts(asking, stays, came, recounted.union(account_data))
        newcomers: list[UserID] = []
        async for update in self._updates(asking, parts, inside=True):
            update.always = update.always or update.room_id in recounted
            if update.room_id in account_data:
                update.account_data += account_data[update.room_id]
            sources.here.add_typing(asking, update, anew=update.room_id in came)
            if update.is_news:
                newcomers += newcomers_in(update) if asking.since and update.room_id not in came else ()
                answer.join.append(
                    await sources.renderer.joined(
                        update, viewer, request.filter, state_name=request.state_name
                    )
                )
        left = [part for stay in stays.by_room.values() if (part := _lately_left(asking, stay))]
        if include_leave:
            known = {part.room_id for part in left}
            left += await self._long_left(
                asking, [stay for stay in stays.by_room.values() if stay.room_id not in known]
            )
        async for update in self._left_updates(asking, left, stays):
            update.account_data += account_data.get(update.room_id, [])
            answer.leave.append(
                await sources.renderer.left(update, viewer, request.filter, state_name=request.state_name)
            )
        await self._add_stripped(asking, stays, data, answer)
        answer.presence, answer.presence_upto = await sources.here.presence_events(
            asking, user, came if asking.since else (), newcomers
        )
        return answer

    async def _add_stripped(
        self, asking: Asking, stays: Stays, data: Iterable[AccountDatum], answer: Answer
    ) -> None:
        again = asking.request.full_state or decides_on_invites(data)
        invites = await self._stripped(asking, stays, "invite", again=again)
        answer.invite = stripped_rooms(invites, "invite_state")
        knocks = await self._stripped(asking, stays, "knock", again=asking.request.full_state)
        answer.knock = stripped_rooms(knocks, "knock_state")

    async def _recounted(
        self, asking: Asking, data: Iterable[AccountDatum], rooms: set[RoomID]
    ) -> set[RoomID]:
        between = (asking.since, asking.upto)
        return set(await self._sources.unread.after(asking.user_id, data, rooms, between))

    async def _updates(
        self, asking: Asking, parts: Sequence[Part], *, inside: bool = False
    ) -> AsyncIterator[RoomUpdate]:
        for start in range(0, len(parts), CHUNK):
            chunk = parts[start : start + CHUNK]
            updates = await self._sources.gatherer.updates(asking, chunk)
            if inside:
                await self._sources.unread.tell(asking, updates)
                await self._add_sticky(asking, chunk, updates)
            for part, update in zip(chunk, updates, strict=True):
                if inside and asking.since and not part.since:
                    # What is known of an earlier stay does not reach up to this one.
                    update.timeline.limited = True
                yield update

    async def _left_updates(
        self, asking: Asking, parts: Sequence[Part], stays: Stays
    ) -> AsyncIterator[RoomUpdate]:
        """Rooms that the user left, those among them that were purged since."""
        async for update in self._updates(asking, parts):
            yield update
        for row in stays.farewells:
            if row.room_id not in stays.by_room and asking.request.filter.room.matches_room(row.room_id):
                yield farewell(row)

    async def _add_sticky(self, asking: Asking, parts: Sequence[Part], updates: Sequence[RoomUpdate]) -> None:
        """What is sticky and not in the timelines."""
        sinces = {part.room_id: part.since for part in parts}
        sticky = await self._sources.sticky.of_rooms(asking.user_id, sinces, asking.upto, asking.ignored)
        for update in updates:
            if update.room_id in sticky:
                shown = update.timeline.nids()
                update.sticky = [each for each in sticky[update.room_id] if each.nid not in shown]

    async def _parts(
        self,
        asking: Asking,
        stays: Stays,
        came: set[RoomID],
        account_data: Iterable[RoomID],
    ) -> list[Part]:
        """The rooms that the user is in of which there may be something to tell."""
        request, since, upto = asking.request, asking.since, asking.upto
        filter = request.filter.room
        joined = {stay.room_id for stay in stays.joined() if filter.matches_room(stay.room_id)}
        parts = [Part(room_id, 0, upto, whole=True) for room_id in stays.by_room if room_id in joined & came]
        others = joined - came
        if request.full_state:
            return parts + [Part(room_id, since, upto, whole=True) for room_id in others]
        news = set(await self._changed(others, since))
        news |= others.intersection(account_data)
        news.update(self._sources.here.typing.changed(others, asking.ephemeral_since))
        return parts + [Part(room_id, since, upto) for room_id in sorted(news)]

    async def _changed(self, rooms: set[RoomID], since: int) -> Iterable[RoomID]:
        known = self._sources.recent.changed(rooms, since)
        if known is not None:
            return known
        names = list(rooms)
        return await self._sources.database.read(lambda tx: Rooms(tx).changed_or_read_since(names, since))

    async def _long_left(self, asking: Asking, stays: Sequence[Stay]) -> list[Part]:
        """Rooms as ones that the user left at some time and did not forget."""
        rows = [
            stay.row
            for stay in stays
            if _is_left(asking, stay) and stay.row is not None and not stay.row.forgotten
        ]
        rooms = [row.room_id for row in rows]
        found = await self._sources.database.read(
            lambda tx: Memberships(tx).last_leaves(asking.user_id, rooms)
        )
        leaves = {change.room_id: change for change in found}
        parts = []
        for row in rows:
            leave = leaves.get(row.room_id)
            if leave is None:
                parts.append(_never_inside(row.room_id, row.pos, row.event_nid))
            else:
                parts.append(Part(row.room_id, 0, leave.pos, True, leave.event_nid, leave.pos))
        return parts

    async def _stripped(
        self, asking: Asking, stays: Stays, membership: str, *, again: bool
    ) -> dict[RoomID, bytes]:
        """Invites, or knocks: what is new of them, or ``again`` all there are."""
        found = {}
        hidden = await self._hidden(asking, stays) if membership == "invite" else frozenset()
        for stay in stays.by_room.values():
            row = stay.row
            if stay.membership != membership or row is None or row.sender in asking.ignored:
                continue
            if asking.since and not stay.changes and not again:
                continue
            if row.sender not in hidden and asking.request.filter.room.matches_room(stay.room_id):
                found[stay.room_id] = await self._sources.stripped.of(row, asking.user_id, stay.event_nid)
        return found

    async def _hidden(self, asking: Asking, stays: Stays) -> frozenset[UserID]:
        """Those whose invites the user's rules hide."""
        rows = [stay.row for stay in stays.by_room.values() if stay.membership == "invite"]
        inviters = {UserID(row.sender) for row in rows if row is not None}
        if not inviters:
            return frozenset()
        return await self._sources.database.read(lambda tx: unwanted_inviters(tx, asking.user_id, inviters))


def decides_on_invites(data: Iterable[AccountDatum]) -> bool:
    """Whether other invites may be shown since these account data changed than before."""
    return any(datum.room_id == GLOBAL and datum.type in DECISIVE for datum in data)


def _lately_left(asking: Asking, stay: Stay) -> Part | None:
    """The room as one that the user left since they last heard."""
    ended = stay.left_at()
    if ended is None or not asking.since or not _is_left(asking, stay):
        return None
    if stay.before == "join":
        return Part(
            stay.room_id, asking.since, ended.pos, asking.request.full_state, ended.event_nid, ended.pos
        )
    if stay.was_inside:
        return Part(stay.room_id, 0, ended.pos, True, ended.event_nid, ended.pos)
    return _never_inside(stay.room_id, ended.pos, ended.event_nid)


def _never_inside(room_id: RoomID, pos: int, nid: int) -> Part:
    """Of a room that the user never was in, they are shown that an invite or a knock came to nothing."""
    return Part(room_id, pos - 1, pos, False, nid, 0)


def _is_left(asking: Asking, stay: Stay) -> bool:
    return stay.membership in ("leave", "ban") and asking.request.filter.room.matches_room(stay.room_id)


def _account_data(
    tx: Transaction, asking: Asking, came: list[RoomID], thread_rules: bool
) -> list[AccountDatum]:
    data = changed_between(tx, asking.user_id, asking.since, asking.upto, thread_rules=thread_rules)
    if came and asking.since:
        changed = {(datum.room_id, datum.type) for datum in data}
        data += [
            datum
            for datum in of_rooms(tx, asking.user_id, came, asking.upto)
            if (datum.room_id, datum.type) not in changed
        ]
    return data
