"""Making rooms. https://spec.matrix.org/v1.19/client-server-api/#creation"""

from collections.abc import Sequence

import structlog

from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.canonical_json import check_canonical
from homeserver.protocol.errors import Forbidden, InvalidRoomState, MatrixError, RoomInUse
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomAlias, RoomID, ServerName, UserID, parse_room_alias, server_of
from homeserver.protocol.requester import Requester
from homeserver.protocol.room_versions import RoomVersion, room_version
from homeserver.services.rooms.actions import MEMBER, require_not_suspended
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.founding import Founding
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.member_contents import Content, MemberContents
from homeserver.services.rooms.new_room import NewRoom, create_content, first_state
from homeserver.services.rooms.remote import RemoteMembership
from storage.database import Database
from storage.tables.rooms import NEW_ALIASES, PUBLISHED_ROOMS, Aliases

log = structlog.get_logger(__name__)


class Creation:
    """Makes rooms: all events of a new room are committed together."""

    def __init__(
        self,
        server_name: ServerName,
        database: Database,
        founding: Founding,
        contents: MemberContents,
        permission: InvitePermission,
        remote: RemoteMembership | None,
        default_version: str,
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._founding = founding
        self._contents = contents
        self._permission = permission
        self._remote = remote
        self._default_version = default_version

    async def create(self, who: Requester, room: NewRoom, version_id: str | None = None) -> RoomID:
        """Make a room and invite into it.

        Raises RoomInUse, UnsupportedRoomVersion, InvalidRoomState, InviteBlocked, BadJson, EventTooLarge,
        UserSuspended.
        """
        require_not_suspended(who)
        version = room_version(version_id or self._default_version)
        alias = self._alias(room.alias_localpart)
        if alias is not None:
            await self._check_free(alias)
        await self._permission.check(who.user_id, room.invite)
        invited = [user_id for user_id in dict.fromkeys(room.invite) if user_id != who.user_id]
        elsewhere = [user_id for user_id in invited if server_of(user_id) != self._server_name]
        if elsewhere and self._remote is None:
            raise Forbidden("This server does not federate")
        create = EventIntent("m.room.create", create_content(room, version, who.user_id), who.user_id, "")
        first = await self._first_events(who, room, version, alias, invited)
        for intent in (create, *first):
            check_canonical(intent.content)
        room_id = await self._found(version, create, first, alias, room.published)
        await self._invite_elsewhere(who, room_id, elsewhere, room.is_direct)
        return room_id

    async def _found(
        self,
        version: RoomVersion,
        create: EventIntent,
        first: Sequence[EventIntent],
        alias: RoomAlias | None,
        published: bool,
    ) -> RoomID:
        def also(draft: RoomDraft, event: Event) -> None:
            if alias is not None:
                draft.entries.append(NEW_ALIASES.row(alias, event.room_id, create.sender))
            if published:
                draft.entries.append(PUBLISHED_ROOMS.row(event.room_id))

        try:
            return await self._founding.found(version, create, first, also)
        except NotAuthorised as error:
            raise InvalidRoomState(f"The room cannot begin like that: {error.message}") from None
        except MatrixError:
            raise
        except Exception:
            # Somebody may have taken the alias in the meantime, which fails the write.
            if alias is not None:
                await self._check_free(alias)
            raise

    async def _first_events(
        self,
        who: Requester,
        room: NewRoom,
        version: RoomVersion,
        alias: RoomAlias | None,
        invited: Sequence[UserID],
    ) -> list[EventIntent]:
        """All events but the first."""
        creator = who.user_id
        local = [user_id for user_id in invited if server_of(user_id) == self._server_name]
        join = await self._contents.with_profile("join", creator)
        invites = await self._contents.with_profiles("invite", local)
        return [
            EventIntent(MEMBER, join, creator, creator),
            *(
                EventIntent(entry.type, entry.content, creator, entry.state_key)
                for entry in first_state(room, version, creator, alias)
            ),
            *(
                EventIntent(MEMBER, content | _directness(room.is_direct), creator, user_id)
                for user_id, content in invites.items()
            ),
        ]

    async def _invite_elsewhere(
        self, who: Requester, room_id: RoomID, users: Sequence[UserID], is_direct: bool
    ) -> None:
        """The room exists by now, so an invite that fails is the inviter's to repeat."""
        contents = await self._contents.with_profiles("invite", list(users))
        for user_id, content in contents.items():
            if self._remote is None:
                break
            try:
                await self._remote.invite(who.user_id, room_id, user_id, content | _directness(is_direct))
            except MatrixError as error:
                log.info("invite into a new room failed", room=room_id, user=user_id, error=error.message)

    def _alias(self, localpart: str | None) -> RoomAlias | None:
        return None if localpart is None else parse_room_alias(f"#{localpart}:{self._server_name}")

    async def _check_free(self, alias: RoomAlias) -> None:
        if await self._database.read(lambda tx: Aliases(tx).find(alias)) is not None:
            raise RoomInUse


def _directness(is_direct: bool) -> Content:
    return {"is_direct": True} if is_direct else {}
