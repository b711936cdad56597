"""What local users do to rooms that this server takes part in, one event or a few at a time."""

from collections.abc import Collection, Mapping
from typing import TypeVar

from homeserver.protocol.auth_rules.room import NeverAllowed
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import BadJson, Forbidden, UserSuspended
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomID, StateKey, UserID
from homeserver.protocol.partial_state import UnableDueToPartialState
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.closed_rooms import ClosedRooms
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import RoomHead, RoomHeads
from homeserver.services.rooms.local_events import EventIntent, LocalEvents
from homeserver.services.rooms.relation_rules import RelationRules
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.rooms.writer import Job, RoomWriter

T = TypeVar("T")

MEMBER = "m.room.member"


class RoomActions:
    """Writes of local users, and the reading that leads to them."""

    def __init__(
        self,
        heads: RoomHeads,
        states: StateStore,
        writer: RoomWriter,
        local_events: LocalEvents,
        relations: RelationRules,
        closed: ClosedRooms,
    ) -> None:
        self.heads = heads
        self.states = states
        self.writer = writer
        self.relations = relations
        self.closed = closed
        self._local_events = local_events

    async def write(self, room_id: RoomID, job: Job[T]) -> T:
        """Run a job of the room's writer. Raises Forbidden for a room that this server does not know, and
        what the job does. What needs members who are not known yet waits for them; raises NotYetWhole if that takes
        too long.
        """
        if await self.heads.find(room_id) is None:
            raise Forbidden("You are not in this room")
        try:
            return await self.writer.write(room_id, job)
        except UnableDueToPartialState:
            await self.writer.partial.whole(room_id)
            return await self.writer.write(room_id, job)

    async def whole(self, room_id: RoomID) -> None:
        """Wait until all members of a room are known. Raises NotYetWhole when that takes too long."""
        await self.writer.partial.whole(room_id)

    async def append(
        self, draft: RoomDraft, intent: EventIntent, transaction: str | None = None
    ) -> StoredEvent:
        """Add an event to a draft. Raises `NotAuthorised`, EventTooLarge, BadJson."""
        try:
            return await self._local_events.append(draft, intent, transaction)
        except NeverAllowed as error:
            raise BadJson(error.message) from None

    async def set_state(
        self, draft: RoomDraft, intent: EventIntent, transaction: str | None = None
    ) -> StoredEvent:
        """Add a state event, or give back the current one if it says just that. Raises as `append`."""
        if intent.state_key is None:
            raise ValueError("a state event has a state key")
        key = (intent.type, intent.state_key)
        state = await self.states.lookup(draft.state, {key, (MEMBER, intent.sender)}, draft.unsaved)
        current, sender = state.get(key), state.get((MEMBER, intent.sender))
        if current is not None and sender is not None and sender.event.membership == "join":
            same = intent.sticky_ms is None and _says_the_same(current.event, intent)
            if current.redacted_by is None and same:
                return current
        return await self.append(draft, intent, transaction)

    async def put_state(self, room_id: RoomID, intent: EventIntent) -> StoredEvent:
        """`set_state` as a write of its own."""

        async def job(draft: RoomDraft) -> StoredEvent:
            return await self.set_state(draft, intent)

        return await self.write(room_id, job)

    async def draft_state(
        self, draft: RoomDraft, keys: Collection[StateKey]
    ) -> Mapping[StateKey, StoredEvent]:
        """The state that a draft has come to, at some keys."""
        return await self.states.lookup(draft.state, keys, draft.unsaved)

    async def member(self, draft: RoomDraft, user_id: UserID) -> Event | None:
        """The membership event of a user in a draft's state."""
        found = (await self.draft_state(draft, ((MEMBER, user_id),))).get((MEMBER, user_id))
        return None if found is None else found.event

    async def participating(self, room_id: RoomID) -> RoomHead | None:
        """The head of a room whose state this server can go by: it is in the room, or nobody is who could
        know better.
        """
        head = await self.heads.find(room_id)
        if head is None or (head.summary.local_members == 0 and head.summary.joined_members > 0):
            return None
        return head


def require_not_suspended(who: Requester) -> None:
    """Raises UserSuspended."""
    if who.is_suspended:
        raise UserSuspended


def _says_the_same(event: Event, intent: EventIntent) -> bool:
    return event.sender == intent.sender and encode_canonical(event.content) == encode_canonical(
        intent.content
    )
