"""What is known in memory of who is here: the users with live clients, who types, who is online."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from homeserver.protocol.identifiers import RoomID
from homeserver.services.ephemeral_stream import EphemeralStream
from homeserver.services.presence import Presence
from homeserver.services.sync.ephemera import PRESENCE, TYPING, presence_event, typing_event
from homeserver.services.sync.live import Live, LiveUser
from homeserver.services.sync.model import Asking, RoomUpdate
from homeserver.services.typing import Typing

MAX_PRESENCE: Final = 1000
"""Users whose presence one answer tells at most."""


@dataclass(frozen=True, slots=True)
class Here:
    """The users whose clients are here, and what they do at the moment."""

    live: Live
    typing: Typing
    presence: Presence
    ephemeral: EphemeralStream

    def has_news(self, user: LiveUser, told: int) -> bool:
        """Whether something ephemeral happened for a user after an ephemeral position. It may say yes where
        there is nothing.
        """
        if self.ephemeral.position <= told:
            return False
        rooms = user.rooms
        if any(room_id in rooms for room_id in self.typing.changed_since(told)):
            return True
        for status in self.presence.changed_since(told):
            other = self.live.present(status.user_id)
            if other is None or other is user or not other.rooms.isdisjoint(rooms):
                return True
        return False

    def add_typing(self, asking: Asking, update: RoomUpdate, *, anew: bool = False) -> None:
        """Tell who is typing in a room, if that changed; ``anew``: the client knows nothing of it."""
        typing, filter = self.typing, asking.request.filter.room.ephemeral
        if not (filter.matches_type(TYPING) and filter.matches_room(update.room_id)):
            return
        if typing.has_changed(update.room_id, asking.ephemeral_since) or (
            anew and typing.users(update.room_id)
        ):
            update.ephemeral.append(typing_event(typing.users(update.room_id), asking.ignored))

    async def presence_events(
        self, asking: Asking, user: LiveUser, came: Iterable[RoomID] = ()
    ) -> list[bytes]:
        """Presence of users who share a room with the user: of those who changed, and of all in rooms that
        the user came into.
        """
        filter = asking.request.filter.presence
        if not filter.matches_type(PRESENCE):
            return []
        changed = {status.user_id: status for status in self.presence.changed_since(asking.ephemeral_since)}
        for room_id in came:
            for user_id in self.live.members.get(room_id, ()):
                status = self.presence.of(user_id)
                if status.position:
                    changed.setdefault(user_id, status)
        if not changed:
            return []
        shared = await self.live.shared_with(user, list(changed)[:MAX_PRESENCE])
        return [
            presence_event(status, self.presence.content(status))
            for user_id, status in changed.items()
            if user_id in shared and user_id not in asking.ignored and filter.matches_sender(user_id)
        ]
