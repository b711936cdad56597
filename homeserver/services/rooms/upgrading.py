"""Upgrading rooms: a room of another version takes the place of a room.

https://spec.matrix.org/v1.19/client-server-api/#room-upgrades
"""

from collections.abc import Sequence
from typing import Any

from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.canonical_json import check_canonical
from homeserver.protocol.errors import Forbidden, InvalidRoomState, NotFound
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, StateKey, UserID
from homeserver.protocol.requester import Requester
from homeserver.protocol.room_versions import RoomVersion, room_version
from homeserver.services.rooms.access import Access
from homeserver.services.rooms.actions import MEMBER, RoomActions, require_not_suspended
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.founding import Founding
from homeserver.services.rooms.heads import RoomHead
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.member_contents import MemberContents
from homeserver.services.rooms.new_room import POWER_LEVELS, StateEntry
from homeserver.services.rooms.powers import power_levels_of
from homeserver.services.rooms.successors import TOMBSTONE, Successors
from homeserver.services.rooms.upgraded_state import (
    create_content,
    new_power_levels,
    power_levels_entry,
    restricted_power_levels,
    transferred,
)

_CREATE: StateKey = ("m.room.create", "")
_CANONICAL_ALIAS: StateKey = ("m.room.canonical_alias", "")
_BODY = "This room has been replaced"
_UNNAMED = EventID("$rehearsal")


class Upgrading:
    """Upgrades rooms."""

    def __init__(
        self,
        access: Access,
        actions: RoomActions,
        founding: Founding,
        contents: MemberContents,
        successors: Successors,
    ) -> None:
        self._access = access
        self._actions = actions
        self._founding = founding
        self._contents = contents
        self._successors = successors

    async def upgrade(
        self, who: Requester, room_id: RoomID, new_version: str, additional_creators: Sequence[UserID] = ()
    ) -> RoomID:
        """Replace a room; gives the new one.

        Raises UnsupportedRoomVersion, NotFound, Forbidden, InvalidRoomState, UserSuspended, NotYetWhole."""
        require_not_suspended(who)
        version = room_version(new_version)
        if await self._actions.heads.find(room_id) is None:
            raise NotFound("Room not found")
        head = await self._access.require_joined(room_id, who.user_id)
        levels = await power_levels_of(self._actions.states, head)
        if levels.user(who.user_id) < levels.required(TOMBSTONE, is_state=True):
            raise Forbidden("You may not upgrade this room")
        if head.partial:
            await self._actions.whole(room_id)
            head = await self._access.require_joined(room_id, who.user_id)
        plan = await self._plan(who, head, version, additional_creators)
        if version.room_id_is_create_hash:
            replacement = await self._found(plan, None)
            await self._close(who, room_id, replacement)
        else:
            # The new room names the tombstone, so that is written first; but not before all else is sure to work.
            await self._rehearse(plan)
            replacement = self._founding.choose_id(version) or room_id
            await self._found(plan, await self._close(who, room_id, replacement), replacement)
        await self._successors.follow(replacement)
        return replacement

    async def _plan(
        self, who: Requester, head: RoomHead, version: RoomVersion, additional_creators: Sequence[UserID]
    ) -> "_Plan":
        stored = await self._actions.states.whole_events(head.state)
        state = {each.event.key: each.event for each in stored if each.event.key is not None}
        create = state[_CREATE]
        levels = await power_levels_of(self._actions.states, head)
        creators = frozenset((who.user_id, *additional_creators))
        power_levels = new_power_levels(levels, state.get(POWER_LEVELS), version, creators)
        first = [*transferred(state, version), power_levels_entry(power_levels)]
        join = await self._contents.with_profile("join", who.user_id)
        return _Plan(who.user_id, version, create, additional_creators, join, first)

    async def _rehearse(self, plan: "_Plan") -> None:
        try:
            await self._founding.rehearse(plan.version, plan.create_intent(_UNNAMED), plan.first())
        except NotAuthorised as error:
            raise _impossible(error) from None

    async def _found(
        self, plan: "_Plan", tombstone_id: EventID | None, room_id: RoomID | None = None
    ) -> RoomID:
        try:
            return await self._founding.found(
                plan.version, plan.create_intent(tombstone_id), plan.first(), _nothing_more, room_id
            )
        except NotAuthorised as error:
            raise _impossible(error) from None

    async def _close(self, who: Requester, room_id: RoomID, replacement: RoomID) -> EventID:
        """Point to the new room, and leave the old one to itself; gives the tombstone."""
        user_id = who.user_id
        tombstone = EventIntent(TOMBSTONE, {"body": _BODY, "replacement_room": replacement}, user_id, "")

        async def job(draft: RoomDraft) -> EventID:
            stored = await self._actions.append(draft, tombstone)
            state = await self._actions.draft_state(draft, (_CANONICAL_ALIAS, POWER_LEVELS))
            intents = []
            alias, old = state.get(_CANONICAL_ALIAS), state.get(POWER_LEVELS)
            if alias is not None and alias.event.content:
                intents.append(EventIntent(_CANONICAL_ALIAS[0], {}, user_id, ""))
            levels = await power_levels_of(self._actions.states, draft.head)
            content = restricted_power_levels(levels, None if old is None else old.event)
            intents.append(EventIntent(POWER_LEVELS[0], content, user_id, ""))
            for intent in intents:
                try:
                    await self._actions.set_state(draft, intent)
                except NotAuthorised:
                    continue
            return stored.event.event_id

        return await self._actions.write(room_id, job)


class _Plan:
    """The new room to be."""

    def __init__(
        self,
        creator: UserID,
        version: RoomVersion,
        old_create: Event,
        additional_creators: Sequence[UserID],
        join: dict[str, Any],
        state: Sequence[StateEntry],
    ) -> None:
        self.version = version
        self._creator = creator
        self._old_create = old_create
        self._additional_creators = additional_creators
        self._join = join
        self._state = state

    def create_intent(self, tombstone_id: EventID | None) -> EventIntent:
        content = create_content(
            self._old_create, self.version, self._creator, self._additional_creators, tombstone_id
        )
        check_canonical(content)
        return EventIntent(_CREATE[0], content, self._creator, "")

    def first(self) -> list[EventIntent]:
        creator = self._creator
        return [
            EventIntent(MEMBER, self._join, creator, creator),
            *(
                EventIntent(entry.type, entry.content, creator, entry.state_key)
                for entry in self._state
                if (entry.type, entry.state_key) != (MEMBER, creator)
            ),
        ]


def _nothing_more(draft: RoomDraft, event: Event) -> None:
    return None


def _impossible(error: NotAuthorised) -> InvalidRoomState:
    return InvalidRoomState(f"The new room cannot begin like that: {error.message}")
