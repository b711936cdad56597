"""What is known in memory of who is here: the users with live clients, who types, who is online."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.ephemeral_stream import NOTHING, EphemeralStream
from homeserver.services.presence import Presence
from homeserver.services.presence_model import Status
from homeserver.services.sync.ephemera import PRESENCE, TYPING, typing_event
from homeserver.services.sync.live import Live, LiveUser
from homeserver.services.sync.model import Asking, RoomUpdate
from homeserver.services.typing import Typing

MAX_PRESENCE: Final = 500
"""Users whose presence one answer tells at most; the rest is told by the next."""
FEW: Final = 100
"""So many changes of presence are looked through rather than searched for."""


@dataclass(frozen=True, slots=True)
class Here:
    """The users whose clients are here, and what they do at the moment. ``thread_rules``: their push rules have those
    of threads.
    """

    live: Live
    typing: Typing
    presence: Presence
    ephemeral: EphemeralStream
    thread_rules: bool = False

    def has_news(self, user: LiveUser, told: int) -> bool:
        """Whether something ephemeral happened for a user after an ephemeral position. It may say yes where
        there is nothing.
        """
        if self.ephemeral.position <= told:
            return False
        if self.typing.changed(user.rooms, told):
            return True
        if self.presence.position <= told:
            return False
        near, unknown = self._changed(user, max(told, 0))
        return bool(unknown) or any(
            status.user_id != user.user_id or status.notable > told for status in near
        )

    def has_own_news(self, user: LiveUser, told: int) -> bool:
        """Whether their own presence changed by what they did themselves: nothing to wake for, but to be told."""
        return self.presence.of(user.user_id).position > max(told, 0)

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
        self,
        asking: Asking,
        user: LiveUser,
        came: Collection[RoomID] = (),
        newcomers: Iterable[UserID] = (),
    ) -> tuple[list[bytes], int | None]:
        """Presence of users who share a room with the user: of those who changed, of all in rooms that the user came
        into, and of those who came into rooms of the user. Gives also the position up to which it goes, if
        there is more.
        """
        filter = asking.request.filter.presence
        if not (self.presence.enabled and filter.matches_type(PRESENCE)):
            return [], None
        told = asking.ephemeral_since
        if asking.since:  # who was told of presence elsewhere believes things of people who went away
            told = max(told, 0)
        changed, unknown = self._changed(user, told)
        if came:
            unknown += self.presence.strangers_since(NOTHING)
        if unknown:
            strangers = {status.user_id: status for status in unknown}
            sharing = await self.live.shared_with(user, strangers)
            changed += [status for user_id, status in strangers.items() if user_id in sharing]
        wanted = {
            status.user_id: status
            for status in sorted(changed, key=lambda status: status.position)
            if status.user_id not in asking.ignored and filter.matches_sender(status.user_id)
        }
        shown = list(wanted.values())[:MAX_PRESENCE]
        upto = shown[-1].position if len(wanted) > MAX_PRESENCE else None
        for user_id in self._met(user, came, newcomers).difference(wanted, asking.ignored):
            if filter.matches_sender(user_id):
                shown.append(self.presence.of(user_id))
        return [self.presence.event(status) for status in shown], upto

    def _met(self, user: LiveUser, came: Iterable[RoomID], newcomers: Iterable[UserID]) -> set[UserID]:
        """Those whom the user shares a room with since a moment ago."""
        met = set(newcomers)
        for room_id in came:
            members = self.live.members.get(room_id, set())
            if len(met) + len(members) <= MAX_PRESENCE:
                met |= members
        met.discard(user.user_id)
        return met

    def _changed(self, user: LiveUser, told: int) -> tuple[list[Status], list[Status]]:
        """Who changed, of the users with live clients who share a room with the user, and of those of whom the database
        knows. All changes are looked through or all those who are near, whatever are fewer.
        """
        live, presence = self.live, self.presence
        changes = len(presence) if told < 0 else presence.position - told
        if changes > FEW and changes > live.count_near(user):
            return list(presence.some_since(live.near(user), told)), list(presence.strangers_since(told))
        near: list[Status] = []
        unknown: list[Status] = []
        rooms = live.close_rooms(user)
        for status in presence.changed_since(told):
            other = live.present(status.user_id)
            if other is None:
                unknown.append(status)
            elif other is user or not other.rooms.isdisjoint(rooms):
                near.append(status)
        return near, unknown
