"""Gathers what rooms have to tell a client of sliding sync, with few queries whatever the number of rooms."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.protocol.filters import RoomEventFilter
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.sliding_sync.model import RoomResult
from homeserver.services.sliding_sync.room_states import SlidingStates, ToldState
from homeserver.services.sliding_sync.visits import Visit
from homeserver.services.sync.farewells import farewell
from homeserver.services.sync.lazy_members import LazyMembers
from homeserver.services.sync.model import MEMBER, Client, Part, Timeline
from homeserver.services.sync.named_members import NamedMembers
from homeserver.services.sync.room_states import RoomChanges, RoomStates
from homeserver.services.sync.stripped import StrippedStates
from homeserver.services.sync.summaries import HEROES
from homeserver.services.sync.timelines import Timelines
from storage.database import Database
from storage.tables.memberships import MembershipChangeRow, MembershipRow, Memberships
from storage.tables.room_farewells import Farewells
from storage.tables.sliding_sync import HeroRow, ListedRooms, ListedRow
from storage.transaction import Transaction

CHUNK: Final = 100
"""Rooms that are read at a time; between chunks others get their turn."""
_NAME, _AVATAR = ("m.room.name", ""), ("m.room.avatar", "")


@dataclass(frozen=True, slots=True)
class Reading:
    """Who reads, from where to where. ``since`` is 0 for a new connection."""

    user_id: UserID
    client: Client
    since: int
    upto: int
    ignored: frozenset[UserID]


@dataclass(frozen=True, slots=True)
class Readers:
    """The readers of the database that both syncs share."""

    timelines: Timelines
    changes: RoomStates
    states: SlidingStates
    stripped: StrippedStates
    lazy_members: LazyMembers
    named: NamedMembers
    events: EventStore


class SlidingGatherer:
    """Reads rooms."""

    def __init__(self, database: Database, readers: Readers) -> None:
        self._database = database
        self._readers = readers

    async def results(self, reading: Reading, visits: Sequence[Visit]) -> list[RoomResult]:
        """What to tell of some rooms."""
        results: list[RoomResult] = []
        for start in range(0, len(visits), CHUNK):
            chunk = visits[start : start + CHUNK]
            results += await self._known([v for v in chunk if v.inside or v.is_past], reading)
            for visit in chunk:
                if not visit.inside and not visit.is_past:
                    results.append(await self._outside(visit, reading))
        return results

    async def farewells(self, reading: Reading, rooms: Collection[RoomID]) -> list[RoomResult]:
        """How the user left some rooms that were purged since."""
        found = await self._database.read(
            lambda tx: Farewells(tx).between(reading.user_id, reading.since, reading.upto)
        )
        return [
            RoomResult(row.room_id, "leave", row.pos, timeline=farewell(row).timeline)
            for row in found
            if row.room_id in rooms
        ]

    async def _known(self, visits: Sequence[Visit], reading: Reading) -> list[RoomResult]:
        """Rooms that the user is in or was in."""
        if not visits:
            return []
        leaves = await self._leaves([v.room_id for v in visits if v.is_past], reading.user_id)
        parts = {visit.room_id: _part(visit, reading, leaves) for visit in visits}
        timelines = await self._timelines(visits, parts, reading)
        changes = await self._readers.changes.changes(
            [_change_part(visit, parts[visit.room_id]) for visit in visits], timelines
        )
        members = {
            visit.room_id: self._lazy(visit, timelines[visit.room_id], reading)
            for visit in visits
            if visit.inside and visit.config.state.lazy
        }
        nids = {room_id: leave.event_nid for room_id, leave in leaves.items()}
        states = await self._readers.states.read(visits, timelines, changes, members, nids)
        touched = {v.room_id: _touched(v, changes[v.room_id]) for v in visits}
        heroes = await self._heroes(
            [
                v.row
                for v in visits
                if v.inside and v.row.name is None and touched[v.room_id] & {MEMBER, _NAME[0]}
            ],
            reading.user_id,
        )
        results = []
        for visit in visits:
            room_id = visit.room_id
            result = _result(visit, timelines[room_id], states[room_id], reading)
            if visit.inside:
                _summarise(result, visit, touched[room_id], heroes)
            else:
                await self._name_of_past(result, visit, changes[room_id], nids.get(room_id, 0))
            if visit.config.state.lazy:
                wanted, told = members.get(room_id, ()), result.state
                named = await self._readers.named.of(room_id, timelines[room_id], wanted, told)
                result.state = [*told, *named]
                self._note_told(visit, result, members.get(room_id, ()), reading)
            results.append(result)
        return results

    def _note_told(
        self, visit: Visit, result: RoomResult, members: Collection[UserID], reading: Reading
    ) -> None:
        told = {UserID(each.event.state_key or "") for each in result.state if each.event.type == MEMBER}
        self._readers.lazy_members.tell(
            reading.client, visit.room_id, told | set(members), reading.upto, anew=visit.initial
        )

    async def _timelines(
        self, visits: Sequence[Visit], parts: Mapping[RoomID, Part], reading: Reading
    ) -> dict[RoomID, Timeline]:
        by_limit: dict[int, list[Part]] = {}
        for visit in visits:
            by_limit.setdefault(visit.config.limit, []).append(parts[visit.room_id])
        found: dict[RoomID, Timeline] = {}
        for limit, some in by_limit.items():
            found |= await self._readers.timelines.read(
                reading.user_id, some, RoomEventFilter(), limit, reading.ignored
            )
        return found

    async def _leaves(self, rooms: list[RoomID], user_id: UserID) -> dict[RoomID, MembershipChangeRow]:
        """What ended the user's last stays in rooms."""
        if not rooms:
            return {}
        found = await self._database.read(lambda tx: Memberships(tx).last_leaves(user_id, rooms))
        return {leave.room_id: leave for leave in found}

    def _lazy(self, visit: Visit, timeline: Timeline, reading: Reading) -> Collection[UserID]:
        """Whose membership events go with a timeline: of those who say something or whose membership changes."""
        users = timeline.senders()
        for seen in timeline.events:
            event = seen.stored.event
            if event.type == MEMBER and event.state_key is not None:
                users.add(UserID(event.state_key))
        if visit.initial or not users:
            return users
        return self._readers.lazy_members.unknown(reading.client, visit.room_id, users, reading.since)

    async def _heroes(self, rows: Sequence[ListedRow], user_id: UserID) -> dict[RoomID, list[HeroRow]]:
        if not rows:
            return {}
        found = await self._database.read(lambda tx: _heroes(tx, rows))
        heroes: dict[RoomID, list[HeroRow]] = {row.room_id: [] for row in rows}
        for hero in found:
            if hero.user_id != user_id and len(heroes[hero.room_id]) < HEROES:
                heroes[hero.room_id].append(hero)
        return heroes

    async def _name_of_past(self, result: RoomResult, visit: Visit, changes: RoomChanges, leave: int) -> None:
        """The name and the avatar of a room that the user has left, as they were then."""
        ends = {change.key: change.current for change in changes.within}
        if visit.initial:
            ends = dict(await self._readers.states.at_leave(leave))
        found = await self._readers.events.by_nids(
            {nid for key in (_NAME, _AVATAR) if (nid := ends.get(key)) is not None}
        )
        for key, field, content_key in ((_NAME, "name", "name"), (_AVATAR, "avatar", "url")):
            if key not in ends:
                continue
            stored = found.get(ends[key] or 0)
            value = None if stored is None else stored.event.content.get(content_key)
            setattr(result, field, value if isinstance(value, str) and value else None)
            setattr(result, f"{field}_told", True)

    async def _outside(self, visit: Visit, reading: Reading) -> RoomResult:
        """A room that the user never was in: invited, knocking, or neither any more."""
        row = visit.row
        membership = MembershipRow(
            row.room_id, reading.user_id, row.membership, row.event_nid, row.sender, row.pos, row.forgotten,
            row.stripped_state, None, None,
        )  # fmt: skip
        result = RoomResult(
            row.room_id, row.membership, row.pos, initial=True, lists=visit.lists, is_dm=visit.is_dm or None
        )
        result.stripped = await self._readers.stripped.of(membership, reading.user_id, row.event_nid)
        return result


def _part(visit: Visit, reading: Reading, leaves: Mapping[RoomID, MembershipChangeRow]) -> Part:
    """Which events are told."""
    base = 0 if visit.initial or visit.expanded else visit.base
    leave = leaves.get(visit.room_id)
    if visit.inside or leave is None:
        return Part(visit.room_id, base, reading.upto)
    return Part(visit.room_id, min(base, leave.pos), leave.pos, left=leave.event_nid, joined_until=leave.pos)


def _change_part(visit: Visit, part: Part) -> Part:
    """Which state changes are looked at: of a room that is told anew, only those that it must not show yet."""
    return Part(visit.room_id, part.upto if visit.initial else min(visit.base, part.upto), part.upto)


def _touched(visit: Visit, changes: RoomChanges) -> set[str]:
    """The types of state that changed; all that a summary is made of in a room that is told anew."""
    if visit.initial:
        return {MEMBER, _NAME[0], _AVATAR[0]}
    touched = {change.key[0] for change in changes.within}
    # Who has just been told all members of the room has a later membership in it.
    return touched | {MEMBER} if visit.inside and visit.row.pos > visit.base else touched


def _result(visit: Visit, timeline: Timeline, state: ToldState, reading: Reading) -> RoomResult:
    row = visit.row
    sent = visit.sent
    is_dm = visit.is_dm if sent is not None and not visit.initial and sent.is_dm != visit.is_dm else None
    return RoomResult(
        row.room_id,
        row.membership,
        (row.bump_pos or row.pos) if visit.inside else row.pos,
        initial=visit.initial,
        expanded=visit.expanded and not visit.initial,
        lists=visit.lists,
        is_dm=(visit.is_dm or None) if visit.initial else is_dm,
        state=state.events,
        gone=state.gone,
        timeline=timeline,
        num_live=sum((seen.stored.pos or 0) > reading.since for seen in timeline.events)
        if reading.since
        else 0,
    )


def _summarise(
    result: RoomResult, visit: Visit, touched: set[str], heroes: Mapping[RoomID, list[HeroRow]]
) -> None:
    row = visit.row
    result.name, result.name_told = row.name, _NAME[0] in touched
    result.avatar, result.avatar_told = row.avatar_url, _AVATAR[0] in touched
    result.heroes = heroes.get(row.room_id)
    if MEMBER in touched:
        result.counts = (row.joined_members, row.invited_members)


def _heroes(tx: Transaction, rows: Sequence[ListedRow]) -> list[HeroRow]:
    table = ListedRooms(tx)
    found = table.heroes([row.room_id for row in rows], HEROES + 1)
    alone = [row.room_id for row in rows if row.joined_members + row.invited_members <= 1]
    return [*found, *table.former_heroes(alone, HEROES + 1)] if alone else found
