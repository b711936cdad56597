"""The rooms in which users get the notices of this server: one each, made with the first notice.

Nobody but the sender of notices may say anything there, and no other server takes part.

https://spec.matrix.org/v1.19/client-server-api/#server-notices
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from homeserver.protocol.errors import Forbidden
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.room_versions import room_version
from homeserver.services.rooms.actions import MEMBER, RoomActions
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.founding import Founding
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.member_contents import MemberContents
from homeserver.services.rooms.new_room import NewRoom, StateEntry, create_content, first_state
from homeserver.services.rooms.successors import TOMBSTONE
from storage.database import Database
from storage.tables.server_notices import NOTICE_ROOMS
from storage.tables.server_notices import NoticeRooms as StoredRooms

SILENT: Final = -10
"""The power of who is told: less than what anything in the room takes."""


@dataclass(frozen=True, slots=True)
class RoomLook:
    """What the rooms are like, and who ``sender`` is; ``auto_join`` puts users into them."""

    sender: UserID
    version: str
    name: str
    avatar_url: str | None
    auto_join: bool

    def state(self) -> list[StateEntry]:
        """Name and picture."""
        name = StateEntry("m.room.name", "", {"name": self.name})
        if self.avatar_url is None:
            return [name]
        return [name, StateEntry("m.room.avatar", "", {"url": self.avatar_url})]


class NoticeRooms:
    """Finds or makes a user's room, and writes into it."""

    def __init__(
        self,
        look: RoomLook,
        database: Database,
        founding: Founding,
        actions: RoomActions,
        contents: MemberContents,
    ) -> None:
        self._look = look
        self._sender = look.sender
        self._database = database
        self._founding = founding
        self._actions = actions
        self._contents = contents

    async def of(self, user_id: UserID) -> RoomID:
        """The room of a user, a new one if there is none in which the sender could speak: it may have been deleted,
        blocked or replaced.
        """
        room_id = await self._known(user_id)
        if room_id is not None and not await self._is_open(room_id):
            stale = room_id
            await self._database.transact(lambda tx: StoredRooms(tx).forget(user_id, self._sender, stale))
            room_id = None
        return room_id or await self._found(user_id)

    async def post(
        self,
        room_id: RoomID,
        user_id: UserID,
        intent: EventIntent,
        note: Callable[[RoomDraft, EventID], None],
    ) -> EventID:
        """Write into a user's room, in one go with all that goes before: the look of the room, and having the user
        come if they are not there. ``note`` adds to the write. Raises Forbidden, EventTooLarge, BadJson.
        """
        invite = await self._contents.with_profile("invite", user_id)
        join = await self._contents.with_profile("join", user_id)

        async def job(draft: RoomDraft) -> EventID:
            for entry in self._look.state():
                await self._actions.set_state(draft, self._intent(entry))
            member = await self._actions.member(draft, user_id)
            membership = None if member is None else member.membership
            if membership not in ("invite", "join"):
                await self._actions.append(draft, EventIntent(MEMBER, invite, self._sender, user_id))
            if membership != "join" and self._look.auto_join:
                await self._actions.append(draft, EventIntent(MEMBER, join, user_id, user_id))
            write = self._actions.append if intent.state_key is None else self._actions.set_state
            event_id = (await write(draft, intent)).event.event_id
            note(draft, event_id)
            return event_id

        return await self._actions.write(room_id, job)

    async def _known(self, user_id: UserID) -> RoomID | None:
        return await self._database.read(lambda tx: StoredRooms(tx).room_of(user_id, self._sender))

    async def _is_open(self, room_id: RoomID) -> bool:
        head = await self._actions.heads.find(room_id)
        if head is None:
            return False
        try:
            await self._actions.closed.require_open(room_id)
        except Forbidden:
            return False
        states = self._actions.states
        sender = await states.find(head.state, MEMBER, self._sender)
        if sender is None or sender.event.membership != "join":
            return False
        return await states.find(head.state, TOMBSTONE) is None

    async def _found(self, user_id: UserID) -> RoomID:
        look, sender = self._look, self._sender
        version = room_version(look.version)
        room = NewRoom(
            preset="private_chat",
            creation_content={"m.federate": False},
            initial_state=tuple(look.state()),
            power_levels={"users_default": SILENT},
        )
        create = StateEntry("m.room.create", "", create_content(room, version, sender))
        join = StateEntry(MEMBER, sender, await self._contents.with_profile("join", sender))
        first = [self._intent(entry) for entry in (join, *first_state(room, version, sender, None))]

        def also(draft: RoomDraft, event: Event) -> None:
            draft.entries.append(NOTICE_ROOMS.row(user_id, sender, event.room_id))

        try:
            return await self._founding.found(version, self._intent(create), first, also)
        except Exception:
            known = await self._known(user_id)  # another node may have made one at the same time
            if known is None:
                raise
            return known

    def _intent(self, entry: StateEntry) -> EventIntent:
        return EventIntent(entry.type, entry.content, self._sender, entry.state_key)
