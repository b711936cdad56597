"""Inviting, leaving, forgetting; kicks and bans.

https://spec.matrix.org/v1.19/client-server-api/#room-membership
"""

from collections.abc import Collection
from typing import Any

from homeserver.protocol.errors import BadJson, CannotLeaveServerNoticeRoom, Forbidden, NotFound, Unknown
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, is_user_id, server_of
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.actions import MEMBER, RoomActions, require_not_suspended
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.member_contents import MemberContents, plain
from homeserver.services.rooms.outside_rooms import OutsideRooms
from homeserver.services.rooms.redactions import REDACT_EVENTS
from homeserver.services.rooms.remote import RemoteMembership
from homeserver.services.rooms.stored_event import StoredEvent

Content = dict[str, Any]
_PRESENT = frozenset(("join", "invite", "knock"))


class Membership:
    """What users do to memberships, their own and those of others, other than entering rooms (see `Joining`)."""

    def __init__(
        self,
        server_name: ServerName,
        actions: RoomActions,
        contents: MemberContents,
        permission: InvitePermission,
        outside: OutsideRooms,
        remote: RemoteMembership | None = None,
        notices_user: UserID | None = None,
    ) -> None:
        """``notices_user``: whose invites nobody may reject, as they are into rooms of server notices."""
        self._server_name = server_name
        self._actions = actions
        self._contents = contents
        self._permission = permission
        self._outside = outside
        self._remote = remote
        self._notices_user = notices_user

    async def invite(
        self,
        who: Requester,
        room_id: RoomID,
        target: UserID,
        reason: str | None = None,
        extra: Content | None = None,
    ) -> None:
        """Invite a user. Raises Forbidden, InviteBlocked, UserSuspended, and what the server of the invited
        user answers.
        """
        require_not_suspended(who)
        await self._actions.closed.require_open(room_id)
        content = await self._contents.with_profile("invite", target, reason) | (extra or {})
        if server_of(target) == self._server_name:
            await self._permission.check(who.user_id, (target,))
            await self._actions.put_state(room_id, EventIntent(MEMBER, content, who.user_id, target))
        elif self._remote is not None:
            await self._remote.invite(who.user_id, room_id, target, content)
        else:
            raise Forbidden("This server does not federate")

    async def leave(
        self,
        who: Requester,
        room_id: RoomID,
        reason: str | None = None,
        extra: Content | None = None,
        *,
        for_good: bool = False,
    ) -> None:
        """Leave a room, reject an invite or take back a knock. For a room that others alone are in, it holds
        here at once and its servers are told afterwards. Who has left already is left alone. ``for_good``: the
        account is closed, or the room deleted.

        Raises Forbidden; CannotLeaveServerNoticeRoom for an invite to server notices.
        """
        content = plain("leave", reason) | (extra or {})
        if await self._actions.participating(room_id) is None:
            await self._outside.leave(who.user_id, room_id, content)
            return

        async def job(draft: RoomDraft) -> bool:
            member = await self._actions.member(draft, who.user_id)
            if member is None or member.membership == "leave":
                return False
            if member.membership == "invite" and member.sender == self._notices_user and not for_good:
                raise CannotLeaveServerNoticeRoom
            await self._actions.append(draft, EventIntent(MEMBER, content, who.user_id, who.user_id))
            return True

        if not await self._actions.write(room_id, job):
            # The room may not know of the user, and the user still have an invite from elsewhere.
            await self._outside.leave(who.user_id, room_id, content)

    async def leave_here(self, user_id: UserID, room_id: RoomID) -> None:
        """Have a user out of a room as their own clients see it, where the room itself cannot be written any more.
        Raises Forbidden if they are not in it.
        """
        await self._outside.leave(user_id, room_id, plain("leave"))

    async def kick(
        self,
        who: Requester,
        room_id: RoomID,
        target: UserID,
        reason: str | None = None,
        *,
        redact: bool = False,
    ) -> None:
        """Make somebody leave; ``redact`` what they said since they came. Raises Forbidden."""
        if target == who.user_id:
            await self.leave(who, room_id, reason)
        else:
            await self._oust(who, room_id, target, _ousting("leave", reason, redact), _PRESENT)

    async def ban(
        self,
        who: Requester,
        room_id: RoomID,
        target: UserID,
        reason: str | None = None,
        *,
        redact: bool = False,
    ) -> None:
        """Ban somebody, whether they are in the room or not; ``redact`` as in `kick`. Raises Forbidden."""
        require_not_suspended(who)
        content = _ousting("ban", reason, redact)
        await self._actions.put_state(room_id, EventIntent(MEMBER, content, who.user_id, target))

    async def unban(self, who: Requester, room_id: RoomID, target: UserID, reason: str | None = None) -> None:
        """End a ban. Raises Forbidden, also if there is none."""
        await self._oust(who, room_id, target, plain("leave", reason), frozenset(("ban",)))

    async def forget(self, who: Requester, room_id: RoomID) -> None:
        """Make a left room one that the user never was in. Raises Unknown if they have not left it, NotFound."""
        membership = await self._outside.forget(who.user_id, room_id)
        if membership is None:
            raise NotFound("You were never in this room")
        if membership in _PRESENT:
            raise Unknown("You have to leave the room before you can forget it")

    async def put(self, who: Requester, room_id: RoomID, target: str, content: Content) -> StoredEvent | None:
        """Set a membership, other than a join or a knock, as a state event that a client wrote whole; gives
        the event, if it is of this server's making. Raises as the methods above, and BadJson.
        """
        if not is_user_id(target):
            raise BadJson("The state key of a membership event is a user ID")
        membership = content.get("membership")
        if membership == "invite":
            await self.invite(who, room_id, UserID(target), extra=content)
        elif membership == "leave" and target == who.user_id:
            await self.leave(who, room_id, extra=content)
        else:
            require_not_suspended(who)
            return await self._actions.put_state(room_id, EventIntent(MEMBER, content, who.user_id, target))
        return await self._current(room_id, target)

    async def _current(self, room_id: RoomID, user_id: str) -> StoredEvent | None:
        head = await self._actions.heads.find(room_id)
        return None if head is None else await self._actions.states.find(head.state, MEMBER, user_id)

    async def _oust(
        self, who: Requester, room_id: RoomID, target: UserID, content: Content, expected: Collection[str]
    ) -> None:
        require_not_suspended(who)

        async def job(draft: RoomDraft) -> None:
            member = await self._actions.member(draft, target)
            if member is None or member.membership not in expected:
                raise Forbidden(f"The user is not {'banned' if 'ban' in expected else 'in the room'}")
            await self._actions.append(draft, EventIntent(MEMBER, content, who.user_id, target))

        await self._actions.write(room_id, job)


def _ousting(membership: str, reason: str | None, redact: bool) -> Content:
    content = plain(membership, reason)
    return {**content, REDACT_EVENTS: True} if redact else content
