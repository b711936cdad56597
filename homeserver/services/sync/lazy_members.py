"""Which membership events each client was told, so that lazily loaded members are not told again and again.

What was told in an answer counts once the client comes back with that answer's token: an answer that was
lost is no harm. https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members
"""

from collections.abc import Iterable

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.sync.model import Client
from storage.caches import CacheBudget

_ENTRY_BYTES = 120
_ROOM_BYTES = 300


class _Told:
    __slots__ = ("bytes", "rooms")

    def __init__(self) -> None:
        self.rooms: dict[RoomID, dict[UserID, int]] = {}
        self.bytes = 300


class LazyMembers:
    """What clients were told, under the byte budget. Who is forgotten is told again."""

    def __init__(self, caches: CacheBudget) -> None:
        self._clients = caches.cache("lazy_members", lambda told: told.bytes)

    def forget(self, client: Client) -> None:
        """The client begins anew."""
        self._clients.pop(client)

    def unknown(self, client: Client, room_id: RoomID, users: Iterable[UserID], since: int) -> list[UserID]:
        """Those of some users whose membership a client with a token of position ``since`` was not told."""
        told: _Told | None = self._clients.get(client)
        room = told.rooms.get(room_id) if told is not None else None
        if room is None:
            return list(users)
        return [user_id for user_id in users if room.get(user_id, since + 1) > since]

    def tell(
        self, client: Client, room_id: RoomID, users: Iterable[UserID], upto: int, *, anew: bool = False
    ) -> None:
        """Memberships are told in the answer whose token has the position ``upto``; ``anew``: nothing told
        before counts.
        """
        told: _Told = self._clients.get(client) or _Told()
        room = told.rooms.get(room_id)
        if room is None or anew:
            room = told.rooms[room_id] = {}
            told.bytes += _ROOM_BYTES
        size = len(room)
        for user_id in users:
            room.setdefault(user_id, upto)
        told.bytes += (len(room) - size) * _ENTRY_BYTES
        self._clients.put(client, told)
