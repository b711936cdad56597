"""Entering rooms: joins, and knocks at the door.

https://spec.matrix.org/v1.19/client-server-api/#joining-rooms
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from homeserver.protocol.canonical_json import check_canonical
from homeserver.protocol.errors import Forbidden, GuestAccessForbidden, NotFound, UnableToGrantJoin
from homeserver.protocol.events.content import guests_can_join
from homeserver.protocol.identifiers import (
    EventID,
    RoomAlias,
    RoomID,
    RoomIDOrAlias,
    ServerName,
    UserID,
    is_room_id,
)
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.actions import MEMBER, RoomActions, require_not_suspended
from homeserver.services.rooms.aliases import Aliases
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.heads import RoomHead
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.member_contents import MemberContents
from homeserver.services.rooms.outside_rooms import OutsideRooms
from homeserver.services.rooms.remote import RemoteMembership
from homeserver.services.rooms.restricted_joins import RestrictedJoins
from homeserver.services.rooms.stored_event import StoredEvent

Content = dict[str, Any]


class Joining:
    """Joins and knocks of local users, in rooms of this server and, through others, of theirs."""

    def __init__(
        self,
        actions: RoomActions,
        aliases: Aliases,
        contents: MemberContents,
        restricted: RestrictedJoins,
        outside: OutsideRooms,
        remote: RemoteMembership | None = None,
    ) -> None:
        self._actions = actions
        self._aliases = aliases
        self._contents = contents
        self._restricted = restricted
        self._outside = outside
        self._remote = remote
        self._entering: list[Callable[[UserID, RoomID], Awaitable[None]]] = []

    def when_entering(self, prepare: Callable[[UserID, RoomID], Awaitable[None]]) -> None:
        """Call with a local user who is about to join a room that this server is in."""
        self._entering.append(prepare)

    async def join(
        self,
        who: Requester,
        place: RoomIDOrAlias | RoomID,
        via: Sequence[ServerName] = (),
        extra: Content | None = None,
    ) -> RoomID:
        """Join a room; ``extra`` goes into the membership event. Who is in the room already stays as they
        are.

        Raises BadJson, Forbidden, NotFound, GuestAccessForbidden, UserSuspended, and what other servers
        answer.
        """
        require_not_suspended(who)
        extra = extra or {}
        check_canonical(extra)
        room_id, servers = await self._place(place, via)
        await self._actions.closed.require_open(room_id)
        content = await self._contents.with_profile("join", who.user_id) | extra
        head = await self._actions.participating(room_id)
        if head is None or (head.summary.local_members == 0 and self._remote is not None and via):
            return await self._join_elsewhere(who, room_id, servers, content)
        if head.partial and self._remote is not None and await self._member(head, who.user_id) is None:
            # They may be banned: who knows all members has to let them in.
            return await self._join_elsewhere(who, room_id, servers, content)
        if who.is_guest and not await self._lets_guests_in(head):
            raise GuestAccessForbidden("Guests cannot join this room")
        for prepare in self._entering:
            await prepare(who.user_id, room_id)
        try:
            await self._actions.write(room_id, lambda draft: self._draft_join(draft, who.user_id, content))
        except UnableToGrantJoin:
            if self._remote is None:
                raise
            return await self._join_elsewhere(who, room_id, servers, content)
        return room_id

    async def place(self, place: RoomIDOrAlias) -> RoomID:
        """The room that is meant. Raises NotFound, BadGateway."""
        return (await self._place(place, ()))[0]

    async def put(self, who: Requester, room_id: RoomID, content: Content) -> EventID:
        """The user's own join as a state event that a client wrote whole: to enter the room, or to look
        different in it.

        Raises as `join`."""
        require_not_suspended(who)
        content = await self._contents.with_profile("join", who.user_id) | content
        if await self._joined(room_id, who.user_id) is None:
            await self.join(who, room_id, extra=content)
        else:
            intent = EventIntent(MEMBER, content, who.user_id, who.user_id)
            return (await self._actions.put_state(room_id, intent)).event.event_id
        joined = await self._joined(room_id, who.user_id)
        if joined is None:
            raise Forbidden("You are not in this room")
        return joined

    async def knock(
        self, who: Requester, place: RoomIDOrAlias, via: Sequence[ServerName], reason: str | None
    ) -> RoomID:
        """Ask to be let into a room. Raises as `join`."""
        require_not_suspended(who)
        room_id, servers = await self._place(place, via)
        await self._actions.closed.require_open(room_id)
        content = await self._contents.with_profile("knock", who.user_id, reason)
        if await self._actions.participating(room_id) is None:
            if self._remote is None:
                raise NotFound("No known server is in this room")
            return await self._remote.knock(who.user_id, room_id, servers, content)
        await self._actions.put_state(room_id, EventIntent(MEMBER, content, who.user_id, who.user_id))
        return room_id

    async def _joined(self, room_id: RoomID, user_id: UserID) -> EventID | None:
        """The event by which the user is in the room."""
        head = await self._actions.heads.find(room_id)
        member = None if head is None else await self._member(head, user_id)
        return member.event.event_id if member is not None and member.event.membership == "join" else None

    async def _member(self, head: RoomHead, user_id: UserID) -> StoredEvent | None:
        return await self._actions.states.find(head.state, MEMBER, user_id)

    async def _place(
        self, place: RoomIDOrAlias | RoomID, via: Sequence[ServerName]
    ) -> tuple[RoomID, Sequence[ServerName]]:
        if is_room_id(place):
            return RoomID(place), via
        resolved = await self._aliases.resolve(RoomAlias(place))
        return resolved.room_id, tuple(dict.fromkeys((*via, *resolved.servers)))

    async def _join_elsewhere(
        self, who: Requester, room_id: RoomID, via: Sequence[ServerName], content: Content
    ) -> RoomID:
        if self._remote is None:
            raise NotFound("No known server is in this room")
        if not who.is_guest:
            return await self._remote.join(who.user_id, room_id, via, content)
        # Whether guests may join shows once we are in the room: so they need the word of somebody who is in it.
        if not await self._outside.is_invited(who.user_id, room_id):
            raise GuestAccessForbidden("Guests cannot join rooms of other servers uninvited")
        await self._remote.join(who.user_id, room_id, via, content)
        head = await self._actions.participating(room_id)
        if head is not None and not await self._lets_guests_in(head):
            intent = EventIntent(MEMBER, {"membership": "leave"}, who.user_id, who.user_id)
            await self._actions.put_state(room_id, intent)
            raise GuestAccessForbidden("Guests cannot join this room")
        return room_id

    async def _lets_guests_in(self, head: RoomHead) -> bool:
        guest_access = await self._actions.states.find(head.state, "m.room.guest_access")
        return guests_can_join(None if guest_access is None else guest_access.event)

    async def _draft_join(self, draft: RoomDraft, user_id: UserID, content: Content) -> None:
        member = await self._actions.member(draft, user_id)
        if member is not None and member.membership == "join":
            return
        authorising = await self._restricted.authorising_user(draft, user_id)
        if authorising is not None:
            content = {**content, "join_authorised_via_users_server": authorising}
        await self._actions.append(draft, EventIntent(MEMBER, content, user_id, user_id))
