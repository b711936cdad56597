"""Stripped state: what of a room is shown to those who are invited to it or knock at its door.

https://spec.matrix.org/v1.19/client-server-api/#stripped-state
"""

import orjson

from homeserver.protocol.events.client_format import stripped_state
from homeserver.protocol.identifiers import UserID
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import RoomHeads
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.sync.model import MEMBER
from storage.tables.memberships import MembershipRow

_TYPES = (
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
)


class StrippedStates:
    """Makes stripped state of rooms that this server is in, and passes on what it was sent of others."""

    def __init__(self, heads: RoomHeads, states: StateStore, events: EventStore) -> None:
        self._heads = heads
        self._states = states
        self._events = events

    async def of(self, row: MembershipRow, user_id: UserID, event_nid: int) -> bytes:
        """A JSON list of events, the user's own membership event among them."""
        own = (await self._events.by_nids((event_nid,))).get(event_nid)
        if row.stripped_state is not None:
            events = orjson.loads(bytes(row.stripped_state))
        else:
            events = await self._current(row)
        events = [
            event for event in events if (event.get("type"), event.get("state_key")) != (MEMBER, user_id)
        ]
        if own is not None:
            shown = stripped_state(own.event)
            shown["event_id"] = own.event.event_id
            shown["origin_server_ts"] = own.event.origin_server_ts
            events.append(shown)
        return orjson.dumps(events)

    async def _current(self, row: MembershipRow) -> list[dict[str, object]]:
        head = await self._heads.find(row.room_id)
        if head is None:
            return []
        keys = [(event_type, "") for event_type in _TYPES] + [(MEMBER, row.sender)]
        found = await self._states.lookup(head.state, keys)
        return [stripped_state(found[key].event) for key in keys if key in found]
