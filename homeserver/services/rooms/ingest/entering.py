"""Rooms that users of this server are just entering through another one.

The others in the room send us events from the moment that they hear of the join, which is before we have the
room. Who brings such events waits here until the room is there.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.defer import Deferred

from homeserver.protocol.identifiers import RoomID


class Entering:
    """Which rooms are being entered on this node, and who waits for that."""

    def __init__(self) -> None:
        self._under_way: dict[RoomID, int] = {}
        self._waiting: dict[RoomID, list[Deferred[None]]] = {}

    @contextmanager
    def room(self, room_id: RoomID) -> Iterator[None]:
        """While it is open, the room is being entered."""
        self._under_way[room_id] = self._under_way.get(room_id, 0) + 1
        try:
            yield
        finally:
            self._under_way[room_id] -= 1
            if not self._under_way[room_id]:
                del self._under_way[room_id]
                for waiting in self._waiting.pop(room_id, ()):
                    if not waiting.called:
                        waiting.callback(None)

    async def finished(self, room_id: RoomID) -> bool:
        """Wait until nobody is entering the room; whether somebody was."""
        if room_id not in self._under_way:
            return False
        waiting: Deferred[None] = Deferred()
        self._waiting.setdefault(room_id, []).append(waiting)
        await waiting
        return True
