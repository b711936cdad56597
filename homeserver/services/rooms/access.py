"""Who may see what of a room. Every reader of events asks here, and nobody else decides.

https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from homeserver.clock import Clock
from homeserver.protocol.errors import Forbidden, NotFound
from homeserver.protocol.events.content import history_visibility_of
from homeserver.protocol.events.sticky import STICKY, sticky_until
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.visibility import can_see
from homeserver.services.rooms.closed_rooms import ClosedRooms
from homeserver.services.rooms.erased_users import ErasedUsers, without_content
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import RoomHead, RoomHeads
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import Status, StoredEvent
from storage.database import Database
from storage.snapshots import Snapshot
from storage.tables.memberships import MembershipChangeRow, MembershipRow, Memberships
from storage.transaction import Transaction

MEMBER = "m.room.member"
VISIBILITY = ("m.room.history_visibility", "")
_NOT_IN_ROOM = "You are not in this room"


@dataclass(frozen=True, slots=True)
class Reader:
    """A user who reads a room. ``joined_until`` is the position at which their last stay in it ended:
    infinite for who is in the room, 0 for who never was.
    """

    user_id: UserID
    room_id: RoomID
    joined_until: float


class Seen(NamedTuple):
    """An event that its reader may see, and the reader's membership at it (`unsigned.membership`)."""

    stored: StoredEvent
    membership: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a room is shown to a user: all up to ``upto`` (None: up to now), with ``state`` as its state."""

    head: RoomHead
    reader: Reader
    membership: str
    state: Snapshot
    upto: int | None = None


class Access:
    """The rules of reading, on what this server knows of the room."""

    def __init__(
        self, database: Database, heads: RoomHeads, states: StateStore, events: EventStore, clock: Clock
    ) -> None:
        self._clock = clock
        self._database = database
        self._heads = heads
        self._states = states
        self._events = events
        self.erased = ErasedUsers(database)
        self._closed = ClosedRooms(database)

    async def membership(self, room_id: RoomID, user_id: UserID) -> str:
        """The user's present membership in a room; "leave" without any."""
        head = await self._heads.find(room_id)
        return "leave" if head is None else await self._membership(head, user_id)

    async def may_be_joined(self, room_id: RoomID, user_id: UserID) -> bool:
        """Whether a user of another server is in a room as far as this server knows: of a room whose members it does
        not know yet, anybody may be of whom it knows nothing.
        """
        head = await self._heads.find(room_id)
        if head is None:
            return False
        if head.partial and await self._states.find(head.state, "m.room.member", user_id) is None:
            return True
        return await self._membership(head, user_id) == "join"

    async def require_joined(self, room_id: RoomID, user_id: UserID) -> RoomHead:
        """The head of a room that the user is in. Raises Forbidden."""
        head = await self._heads.find(room_id)
        if head is None or await self._membership(head, user_id) != "join":
            raise Forbidden(_NOT_IN_ROOM)
        return head

    async def standing(self, room_id: RoomID, user_id: UserID) -> Standing:
        """What the user may read of a room: as a member, as one who has left, or as anybody may. Raises
        Forbidden.
        """
        head = await self._heads.find(room_id)
        if head is None:
            raise Forbidden(_NOT_IN_ROOM)
        membership = await self._membership(head, user_id)
        if membership == "join":
            return Standing(head, Reader(user_id, room_id, math.inf), membership, head.state)
        row, leave = await self._database.read(lambda tx: _past(tx, room_id, user_id))
        reader = Reader(user_id, room_id, leave.pos if leave else 0)
        # Who is banned is shown nothing of the room any more, as deployed servers have it.
        if leave is not None and membership == "leave" and not (row and row.forgotten):
            state = await self._state_after(leave.event_nid)
            return Standing(head, reader, membership, state or head.state, leave.pos)
        if await self._is_world_readable(head) and not await self._closed.is_closed(room_id):
            return Standing(head, reader, membership, head.state)
        raise Forbidden(_NOT_IN_ROOM)

    async def reader(self, room_id: RoomID, user_id: UserID) -> Reader:
        """A user as the reader of a room's events, whatever they may see of them."""
        if await self.membership(room_id, user_id) == "join":
            return Reader(user_id, room_id, math.inf)
        leave = await self._database.read(lambda tx: Memberships(tx).last_leave(user_id, room_id))
        return Reader(user_id, room_id, leave.pos if leave else 0)

    async def select(self, reader: Reader, events: Sequence[StoredEvent]) -> list[Seen]:
        """Those of the room's events that the reader may see, in their order."""
        return (await self.select_each(reader.user_id, ((reader, events),)))[0]

    async def select_each(
        self, user_id: UserID, groups: Sequence[tuple[Reader, Sequence[StoredEvent]]]
    ) -> list[list[Seen]]:
        """`select` for events of several rooms, read by one user, with as many queries as for one."""
        placed = [[stored for stored in events if _is_shown(stored)] for _, events in groups]
        sights = await self._sights(user_id, (stored for events in placed for stored in events))
        erased = await self.erased.all()
        sticky = self._sticky(stored for events in placed for stored in events)
        return [
            _seen(reader, events, sights, erased, sticky)
            for (reader, _), events in zip(groups, placed, strict=True)
        ]

    async def event(self, room_id: RoomID, user_id: UserID, event_id: EventID) -> Seen:
        """One event of a room. Raises NotFound if it is not there for the user."""
        stored = await self._events.find(event_id)
        if stored is None or stored.event.room_id != room_id:
            raise NotFound("Event not found")
        reader = Reader(user_id, room_id, math.inf)
        if await self.membership(room_id, user_id) != "join":
            row, leave = await self._database.read(lambda tx: _past(tx, room_id, user_id))
            stranger = leave is None and await self._closed.is_closed(room_id)
            if stranger or (row is not None and row.forgotten):
                raise NotFound("Event not found")
            reader = Reader(user_id, room_id, leave.pos if leave else 0)
        seen = await self.select(reader, (stored,))
        if not seen:
            raise NotFound("Event not found")
        return seen[0]

    async def _sights(
        self, user_id: UserID, events: Iterable[StoredEvent]
    ) -> dict[int, tuple[str, str | None]]:
        """History visibility and the user's membership in the state before each event, by snapshot."""
        snapshots = await self._states.snapshots({stored.state_before or 0 for stored in events})
        own = (MEMBER, user_id)
        key_ids = await self._states.known_key_ids((VISIBILITY, own))
        visibility_id, own_id = key_ids.get(VISIBILITY), key_ids.get(own)
        nids = {
            snapshot_id: (_find(snapshot, visibility_id), _find(snapshot, own_id))
            for snapshot_id, snapshot in snapshots.items()
        }
        found = await self._events.by_nids({nid for pair in nids.values() for nid in pair if nid is not None})
        sights = {}
        for snapshot_id, (visibility_nid, own_nid) in nids.items():
            visibility = found.get(visibility_nid) if visibility_nid is not None else None
            member = found.get(own_nid) if own_nid is not None else None
            sights[snapshot_id] = (
                history_visibility_of(None if visibility is None else visibility.event),
                None if member is None else member.event.membership,
            )
        return sights

    def _sticky(self, events: Iterable[StoredEvent]) -> AbstractSet[int]:
        """The numbers of those events that are sticky now: who is in the room sees them, whatever the history hides.

        https://github.com/matrix-org/matrix-spec-proposals/pull/4354
        """
        sticky = [stored for stored in events if STICKY in stored.event.pdu]
        if not sticky:
            return frozenset()
        now = self._clock.now_ms()
        return {stored.nid for stored in sticky if sticky_until(stored.event, stored.received_ts) > now}

    async def _membership(self, head: RoomHead, user_id: UserID) -> str:
        member = await self._states.find(head.state, MEMBER, user_id)
        return "leave" if member is None else member.event.membership or "leave"

    async def _is_world_readable(self, head: RoomHead) -> bool:
        visibility = await self._states.find(head.state, *VISIBILITY)
        return history_visibility_of(None if visibility is None else visibility.event) == "world_readable"

    async def _state_after(self, nid: int) -> Snapshot | None:
        stored = (await self._events.by_nids((nid,))).get(nid)
        if stored is None or stored.state_after is None:
            return None
        return await self._states.snapshot(stored.state_after)


def _past(
    tx: Transaction, room_id: RoomID, user_id: UserID
) -> tuple[MembershipRow | None, MembershipChangeRow | None]:
    table = Memberships(tx)
    return table.find(room_id, user_id), table.last_leave(user_id, room_id)


def _seen(
    reader: Reader,
    events: Iterable[StoredEvent],
    sights: Mapping[int, tuple[str, str | None]],
    erased: AbstractSet[UserID],
    sticky: AbstractSet[int],
) -> list[Seen]:
    seen = []
    inside = math.isinf(reader.joined_until)
    for stored in events:
        visibility, membership = sights[stored.state_before or 0]
        event = stored.event
        if (inside and stored.nid in sticky) or can_see(
            event,
            reader.user_id,
            visibility=visibility,
            membership=membership,
            joined_since=_joined_since(reader, stored),
        ):
            if event.state_key == reader.user_id and event.type == MEMBER:
                membership = event.membership
            if erased and membership != "join" and event.sender in erased:
                stored = without_content(stored)
            seen.append(Seen(stored, membership or "leave"))
    return seen


def _is_shown(stored: StoredEvent) -> bool:
    return stored.status is Status.ACCEPTED and stored.state_before is not None


def _joined_since(reader: Reader, stored: StoredEvent) -> bool:
    """Events without a position were backfilled: they are older than all that happened here."""
    return (stored.pos or 0) < reader.joined_until


def _find(snapshot: Snapshot, key_id: int | None) -> int | None:
    return None if key_id is None else snapshot.find(key_id)
