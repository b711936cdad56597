"""The state that a reader is shown along with events, as their filter wants it."""

from collections.abc import Collection, Sequence

from homeserver.protocol.filters import RoomEventFilter
from homeserver.protocol.identifiers import StateKey, UserID
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent

_MEMBER = "m.room.member"


class ShownState:
    """Reads state at events. Members may be left out but for those who said something.

    https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members"""

    def __init__(self, states: StateStore, events: EventStore) -> None:
        self._states = states
        self._events = events

    async def at(
        self, stored: StoredEvent, filter: RoomEventFilter, senders: Collection[UserID]
    ) -> list[StoredEvent]:
        """The room's state after an event; with lazy-loaded members, only the ``senders`` of them."""
        if stored.state_after is None:
            return []
        snapshot = await self._states.snapshot(stored.state_after)
        wanted = [
            nid
            for key, nid in (await self._states.whole(snapshot)).items()
            if filter.matches_type(key[0]) and _is_wanted(key, filter, senders)
        ]
        found = await self._events.by_nids(wanted)
        return [found[nid] for nid in wanted if nid in found and filter.matches_event(found[nid].event)]

    async def members(self, page: Sequence[StoredEvent], senders: Collection[UserID]) -> list[StoredEvent]:
        """The membership events of ``senders`` as of the newest event of a page."""
        newest = max(page, key=lambda stored: (stored.event.depth, stored.ordering or 0), default=None)
        if newest is None or newest.state_after is None:
            return []
        snapshot = await self._states.snapshot(newest.state_after)
        found = await self._states.lookup(snapshot, [(_MEMBER, user_id) for user_id in sorted(senders)])
        return list(found.values())


def _is_wanted(key: StateKey, filter: RoomEventFilter, senders: Collection[UserID]) -> bool:
    return not filter.lazy_load_members or key[0] != _MEMBER or key[1] in senders
