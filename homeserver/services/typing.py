"""Who is typing in which room: kept in memory, forgotten by the clock.

https://spec.matrix.org/v1.19/client-server-api/#typing-notifications
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Set

from homeserver.clock import Clock, Timer
from homeserver.protocol.errors import Forbidden
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, server_of
from homeserver.protocol.requester import Requester
from homeserver.services.ephemeral_stream import ASTRAY, EphemeralStream
from homeserver.services.rooms.access import Access

MAX_TIMEOUT_MS = 120_000
DEFAULT_TIMEOUT_MS = 30_000
REMOTE_TIMEOUT_MS = 60_000
MAX_ROOMS = 10_000
"""Rooms whose last change is remembered, beside those in which somebody is typing."""

RoomListener = Callable[[RoomID], None]
LocalListener = Callable[[RoomID, UserID, bool], None]
SetListener = Callable[[RoomID, UserID, int], None]


class _Room:
    __slots__ = ("position", "until", "users")

    def __init__(self) -> None:
        self.position = 0
        self.users: dict[UserID, Timer] = {}
        self.until: dict[UserID, float] = {}


class Typing:
    """Typing notices of local users and of those of other servers."""

    def __init__(
        self, server_name: ServerName, access: Access, stream: EphemeralStream, clock: Clock
    ) -> None:
        self._server_name = server_name
        self._access = access
        self._stream = stream
        self._clock = clock
        self._rooms: OrderedDict[RoomID, _Room] = OrderedDict()
        self._busy: set[RoomID] = set()
        self._changed: list[RoomListener] = []
        self._local_changed: list[LocalListener] = []
        self._was_set: list[SetListener] = []
        self.position = 0
        """The ephemeral position of the last change."""

    def when_changed(self, listener: RoomListener) -> None:
        """Call with each room in which somebody starts or stops typing."""
        self._changed.append(listener)

    def when_local_changed(self, listener: LocalListener) -> None:
        """Call with room, user, and whether they type, for users of this server: what other servers are told.
        Also when a notice is renewed.
        """
        self._local_changed.append(listener)

    def when_set(self, listener: SetListener) -> None:
        """Call with room, user and milliseconds (0: they stopped) whenever this node is told: other nodes are not."""
        self._was_set.append(listener)

    async def put(
        self, who: Requester, room_id: RoomID, user_id: UserID, typing: bool, timeout_ms: int | None
    ) -> None:
        """A local user starts or stops typing. Raises Forbidden."""
        if who.user_id != user_id:
            raise Forbidden("You can only type yourself")
        await self._access.require_joined(room_id, user_id)
        timeout_ms = DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms
        typing = typing and timeout_ms > 0
        self._told(room_id, user_id, min(timeout_ms, MAX_TIMEOUT_MS) if typing else 0)

    async def receive(self, room_id: RoomID, user_id: UserID, typing: bool) -> None:
        """A user of another server starts or stops typing: an EDU of that server. Ignored if they are not
        in the room.
        """
        if await self._access.may_be_joined(room_id, user_id):
            self._told(room_id, user_id, REMOTE_TIMEOUT_MS if typing else 0)

    def hear(self, room_id: RoomID, user_id: UserID, timeout_ms: int) -> None:
        """Another node was told."""
        typing = timeout_ms > 0
        if typing or self._is_typing(room_id, user_id):
            self._tell_servers(room_id, user_id, typing)
        self._set(room_id, user_id, typing, min(timeout_ms, MAX_TIMEOUT_MS))

    def everybody(self) -> list[tuple[RoomID, UserID, int]]:
        """Who types where, and for how many milliseconds more."""
        now = self._clock.seconds()
        return [
            (room_id, user_id, max(int((until - now) * 1000), 1))
            for room_id in self._busy
            for user_id, until in self._rooms[room_id].until.items()
        ]

    def left(self, room_id: RoomID, user_id: UserID) -> None:
        """A user is no longer in a room."""
        if room_id in self._rooms:
            self._set(room_id, user_id, False, 0)

    def users(self, room_id: RoomID) -> list[UserID]:
        """Who is typing, the first to start first."""
        room = self._rooms.get(room_id)
        return [] if room is None else list(room.users)

    def has_changed(self, room_id: RoomID, told: int) -> bool:
        """Whether who types in a room may be something else than what a client believes that was told up to an
        ephemeral position. One that begins is told of each room in which somebody typed lately: it may ask again
        because it lost an answer.
        """
        room = self._rooms.get(room_id)
        return told == ASTRAY or (room is not None and room.position > max(told, 0))

    def changed(self, rooms: Collection[RoomID], told: int) -> list[RoomID]:
        """Those of some rooms of which `has_changed` holds."""
        if told == ASTRAY:
            return list(rooms)
        found: list[RoomID] = []
        if self.position <= told:
            return found
        for room_id, room in reversed(self._rooms.items()):
            if room.position <= max(told, 0):
                break
            if room_id in rooms:
                found.append(room_id)
        return found

    def anybody_in(self, rooms: Set[RoomID]) -> bool:
        """Whether somebody is typing in one of some rooms."""
        return not self._busy.isdisjoint(rooms)

    def _told(self, room_id: RoomID, user_id: UserID, timeout_ms: int) -> None:
        if timeout_ms or self._is_typing(room_id, user_id):
            for listener in self._was_set:
                listener(room_id, user_id, timeout_ms)
        self.hear(room_id, user_id, timeout_ms)

    def _is_typing(self, room_id: RoomID, user_id: UserID) -> bool:
        room = self._rooms.get(room_id)
        return room is not None and user_id in room.users

    def _set(self, room_id: RoomID, user_id: UserID, typing: bool, timeout_ms: int) -> None:
        room = self._rooms.get(room_id)
        if room is None:
            if not typing:
                return
            room = self._rooms[room_id] = _Room()
        timer = room.users.get(user_id)
        if timer is not None and timer.active():
            timer.cancel()
        if typing:
            seconds = timeout_ms / 1000
            room.users[user_id] = self._clock.call_later(seconds, self._expired, room_id, user_id)
            room.until[user_id] = self._clock.seconds() + seconds
        elif timer is not None:
            del room.users[user_id], room.until[user_id]
        if typing != (timer is not None):
            self._note(room_id, room)

    def _expired(self, room_id: RoomID, user_id: UserID) -> None:
        self._tell_servers(room_id, user_id, False)
        self._set(room_id, user_id, False, 0)

    def _note(self, room_id: RoomID, room: _Room) -> None:
        room.position = self.position = self._stream.advance()
        self._rooms.move_to_end(room_id)
        if room.users:
            self._busy.add(room_id)
        else:
            self._busy.discard(room_id)
        if len(self._rooms) > MAX_ROOMS:
            self._forget_oldest()
        for listener in self._changed:
            listener(room_id)

    def _forget_oldest(self) -> None:
        """Forget when typing ended in the room where that was longest ago."""
        oldest = next((room_id for room_id in self._rooms if room_id not in self._busy), None)
        if oldest is not None:
            self._stream.forget(self._rooms.pop(oldest).position)

    def _tell_servers(self, room_id: RoomID, user_id: UserID, typing: bool) -> None:
        if server_of(user_id) == self._server_name:
            for listener in self._local_changed:
                listener(room_id, user_id, typing)
