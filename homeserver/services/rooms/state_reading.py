"""Reading a room's state and its members.

https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room
"""

from collections.abc import Sequence

from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import RoomID, StateKey, UserID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import LiveToken, PageToken
from homeserver.services.rooms.access import Access, Standing
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.events import Events
from storage.tables.memberships import MembershipRow, Memberships
from storage.tables.state import CurrentState, StateChangeRow

_MEMBER = "m.room.member"


class StateReading:
    """State as users may see it: of rooms that they left, as it was then. Whoever needs members of a room who are not
    known yet waits for them; raises NotYetWhole when that takes too long.
    """

    def __init__(
        self,
        database: Database,
        states: StateStore,
        events: EventStore,
        access: Access,
        partial: PartialRooms,
    ) -> None:
        self._partial = partial
        self._database = database
        self._states = states
        self._events = events
        self._access = access

    async def all(self, who: Requester, room_id: RoomID) -> list[StoredEvent]:
        """All state events. Raises Forbidden."""
        standing = await self._standing(who, room_id)
        return await self._states.whole_events(standing.state)

    async def one(self, who: Requester, room_id: RoomID, event_type: str, state_key: str) -> StoredEvent:
        """One state event. Raises Forbidden, NotFound."""
        standing = await self._access.standing(room_id, who.user_id)
        stored = await self._states.find(standing.state, event_type, state_key)
        if stored is None and event_type == _MEMBER and room_id in self._partial:
            standing = await self._standing(who, room_id)
            stored = await self._states.find(standing.state, event_type, state_key)
        if stored is None:
            raise NotFound("The room has no such state")
        return stored

    async def members(
        self,
        who: Requester,
        room_id: RoomID,
        at: PageToken | None = None,
        membership: str | None = None,
        not_membership: str | None = None,
    ) -> list[StoredEvent]:
        """The membership events of a room, now or at some point, by membership. Raises Forbidden."""
        standing = await self._standing(who, room_id)
        entries = await self._states.whole(standing.state)
        nids = {key: nid for key, nid in entries.items() if key[0] == _MEMBER}
        if at is not None:
            nids = await self._members_at(standing, nids, at)
        found = await self._events.by_nids(nids.values())
        return [
            stored
            for stored in found.values()
            if _is_asked_for(stored.event.membership, membership, not_membership)
        ]

    async def joined_members(self, who: Requester, room_id: RoomID) -> Sequence[MembershipRow]:
        """Who is in a room that the user is in as well. Raises Forbidden."""
        await self._access.require_joined(room_id, who.user_id)
        await self._partial.whole(room_id)
        return await self._database.read(lambda tx: Memberships(tx).of_room(room_id, ["join"]))

    async def joined_rooms(self, user_id: UserID) -> list[RoomID]:
        """The rooms that a local user is in."""
        return await self._database.read(lambda tx: Memberships(tx).joined_rooms(user_id))

    async def _standing(self, who: Requester, room_id: RoomID) -> Standing:
        """What the user may read of a room of which all members are known."""
        standing = await self._access.standing(room_id, who.user_id)
        if room_id not in self._partial:
            return standing
        await self._partial.whole(room_id)
        return await self._access.standing(room_id, who.user_id)

    async def _members_at(
        self, standing: Standing, nids: dict[StateKey, int], at: PageToken
    ) -> dict[StateKey, int]:
        """The members at a point before: a place in the stream by undoing what changed since, one in history
        by its event.
        """
        room_id = standing.head.room_id
        if isinstance(at, LiveToken):
            upto = standing.head.last_pos if standing.upto is None else standing.upto
            changes = await self._database.read(lambda tx: CurrentState(tx).changes(room_id, at.pos, upto))
            return _undone(nids, changes)
        rows = await self._database.read(
            lambda tx: Events(tx).page_up_to(room_id, at.depth, at.ordering, standing.head.last_pos, None, 1)
        )
        if not rows or rows[0].state_after is None:
            return {}
        snapshot = await self._states.snapshot(rows[0].state_after)
        return {key: nid for key, nid in (await self._states.whole(snapshot)).items() if key[0] == _MEMBER}


def _is_asked_for(is_: str | None, wanted: str | None, unwanted: str | None) -> bool:
    """Either is enough where both are asked for, as the specification has it."""
    if wanted is None:
        return unwanted is None or is_ != unwanted
    return is_ == wanted or (unwanted is not None and is_ != unwanted)


def _undone(nids: dict[StateKey, int], changes: Sequence[StateChangeRow]) -> dict[StateKey, int]:
    """The members before some changes. Before the room had any: its first one, since a sync that told the room from its
    beginning gives that place as one to ask for members at.
    """
    before = dict(nids)
    for change in reversed(changes):
        key = (change.type, change.state_key)
        if key[0] != _MEMBER:
            continue
        if change.previous_nid is None:
            before.pop(key, None)
        else:
            before[key] = change.previous_nid
    return before or {
        (each.type, each.state_key): each.event_nid for each in _first_member(changes) if each.event_nid
    }


def _first_member(changes: Sequence[StateChangeRow]) -> list[StateChangeRow]:
    return [change for change in changes if change.type == _MEMBER][:1]
