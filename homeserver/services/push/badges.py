"""What a user has to attend to, over all their rooms: the counts that go with every push.

https://spec.matrix.org/v1.19/push-gateway-api/#post_matrixpushv1notify
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.clock import Clock
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.push.standing import OpenRooms
from homeserver.services.receipts import MAIN_THREAD, UNTHREADED
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sync.unread import UnreadCounts
from storage.database import Database
from storage.tables.badges import OpenRooms as StoredRooms
from storage.tables.unread import Unread
from storage.transaction import Transaction

_INVITE: Final = "m.call.invite"
_ANSWERS: Final = frozenset(("m.call.answer", "m.call.reject"))
_HANGUP: Final = "m.call.hangup"
_LONGEST_RING_MS: Final = 120_000
_CALL_EVENTS: Final = 200


@dataclass(frozen=True, slots=True)
class Badge:
    """Messages and invites that wait, and calls that nobody took."""

    unread: int = 0
    missed_calls: int = 0

    def json(self, *, with_zero: bool = False) -> dict[str, int]:
        """`counts`. Those that are zero are left out, but for ``with_zero``: what gateways take for "nothing is unread
        any more" is a zero.
        """
        counts = {"unread": self.unread, "missed_calls": self.missed_calls}
        return {name: n for name, n in counts.items() if n or (with_zero and name == "unread")}


class Badges:
    """Counts for whoever is about to be pushed."""

    def __init__(self, database: Database, unread: UnreadCounts, events: EventStore, clock: Clock) -> None:
        self._database = database
        self._unread = unread
        self._events = events
        self._clock = clock

    async def of(self, user_id: UserID, rooms: OpenRooms) -> Badge:
        """The counts of a user as of now, whose rooms are these."""
        counts = await self._unread.of_rooms(user_id, rooms.joined, rooms.ignored)
        unread = {room_id: each.total.notifications for room_id, each in counts.items()}
        waiting = [room_id for room_id in rooms.called if unread[room_id]]
        return Badge(sum(unread.values()) + rooms.invites, await self._missed_calls(user_id, waiting))

    async def _missed_calls(self, user_id: UserID, rooms: list[RoomID]) -> int:
        if not rooms:
            return 0
        nids, read = await self._database.read(lambda tx: _calls(tx, user_id, rooms))
        if not nids:
            return 0
        stored = (await self._events.by_nids(nids)).values()
        by_room: dict[RoomID, list[StoredEvent]] = {}
        for each in sorted(stored, key=lambda each: each.pos or 0):
            if (each.pos or 0) > read.get(each.event.room_id, 0):
                by_room.setdefault(each.event.room_id, []).append(each)
        now = self._clock.now_ms()
        return sum(_missed(user_id, events, now) for events in by_room.values())


def _missed(user_id: UserID, events: Sequence[StoredEvent], now: int) -> int:
    """How many calls of a room have ended without that the user took or refused them.

    https://spec.matrix.org/v1.19/client-server-api/#voice-over-ip
    """
    ringing: dict[str, StoredEvent] = {}
    over: set[str] = set()
    for stored in events:
        event, call_id = stored.event, stored.event.content.get("call_id")
        if not isinstance(call_id, str):
            continue
        if event.type == _INVITE and event.sender != user_id:
            ringing[call_id] = stored
        elif event.type in _ANSWERS and event.sender == user_id:
            ringing.pop(call_id, None)
        elif event.type == _HANGUP:
            over.add(call_id)
    return sum(
        call_id in over or stored.received_ts + _rings_for(stored.event.content) < now
        for call_id, stored in ringing.items()
    )


def _rings_for(content: Mapping[str, Any]) -> int:
    lifetime = content.get("lifetime")
    return min(lifetime, _LONGEST_RING_MS) if isinstance(lifetime, int) else _LONGEST_RING_MS


def _calls(tx: Transaction, user_id: UserID, rooms: list[RoomID]) -> tuple[list[int], dict[RoomID, int]]:
    """The numbers of events of calls in some rooms, and up to where the user has read these."""
    reads = Unread(tx).reads(user_id, rooms)
    read = dict(Unread(tx).joined_since(user_id, rooms))
    for each in reads:
        if each.thread_id in (UNTHREADED, MAIN_THREAD):
            read[each.room_id] = max(read[each.room_id], each.pos)
    bases = [read[room_id] for room_id in rooms]
    return StoredRooms(tx).calls(rooms, bases, _CALL_EVENTS), read
