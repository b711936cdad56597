"""Carrying a user's new name and avatar into their rooms."""

import structlog

from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.actions import MEMBER, RoomActions
from homeserver.services.rooms.detached import detach
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.member_contents import Content, named
from storage.database import Database
from storage.tables.memberships import Memberships
from storage.tables.profiles import Profiles

log = structlog.get_logger(__name__)


class ProfileChanges:
    """Brings the user's membership events in step with the profile, after the change was answered.

    https://spec.matrix.org/v1.19/client-server-api/#events-on-change-of-profile-information"""

    def __init__(self, database: Database, actions: RoomActions) -> None:
        self._database = database
        self._actions = actions
        self._under_way: set[UserID] = set()
        self._again: set[UserID] = set()

    async def changed(
        self, who: Requester, user_id: UserID, displayname: str | None, avatar_url: str | None
    ) -> None:
        """Begin to tell the rooms. They get the profile as it is when their turn comes."""
        if user_id in self._under_way:
            self._again.add(user_id)
            return
        self._under_way.add(user_id)
        detach("profile change", self._tell_rooms(user_id), user=user_id)

    async def _tell_rooms(self, user_id: UserID) -> None:
        try:
            while True:
                self._again.discard(user_id)
                for room_id in await self._database.read(lambda tx: Memberships(tx).joined_rooms(user_id)):
                    await self._tell(room_id, user_id)
                if user_id not in self._again:
                    return
        finally:
            self._under_way.discard(user_id)

    async def _tell(self, room_id: RoomID, user_id: UserID) -> None:
        profile = await self._database.read(lambda tx: Profiles(tx).profile(user_id))
        names = named(profile.displayname, profile.avatar_url) if profile is not None else {}

        async def job(draft: RoomDraft) -> None:
            member = await self._actions.member(draft, user_id)
            if member is None or member.membership != "join":
                return
            content = _with_names(member.content, names)
            await self._actions.set_state(draft, EventIntent(MEMBER, content, user_id, user_id))

        try:
            await self._actions.write(room_id, job)
        except MatrixError as error:
            log.info("profile change refused by room", room=room_id, user=user_id, error=error.message)


def _with_names(content: Content, names: Content) -> Content:
    dropped = ("displayname", "avatar_url", "reason", "join_authorised_via_users_server")
    return {key: value for key, value in content.items() if key not in dropped} | names
