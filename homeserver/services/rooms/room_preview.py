"""What of a room is shown to somebody who is not in it: with an invite, or after a knock.

https://spec.matrix.org/v1.19/client-server-api/#stripped-state
"""

from typing import Any

from homeserver.protocol.identifiers import StateKey, UserID
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from storage.snapshots import Snapshot

_SHOWN: tuple[StateKey, ...] = (
    ("m.room.create", ""),
    ("m.room.join_rules", ""),
    ("m.room.name", ""),
    ("m.room.avatar", ""),
    ("m.room.topic", ""),
    ("m.room.canonical_alias", ""),
    ("m.room.encryption", ""),
)


class RoomPreview:
    """Picks the state events that make a room known."""

    def __init__(self, states: StateStore) -> None:
        self._states = states

    async def of(self, state: Snapshot, user_id: UserID | None = None) -> list[dict[str, Any]]:
        """Those events as PDUs, and the membership of ``user_id``, who invites."""
        keys = _SHOWN if user_id is None else (*_SHOWN, ("m.room.member", user_id))
        found = await self._states.lookup(state, keys)
        return [found[key].event.pdu for key in keys if key in found]

    async def before(self, stored: StoredEvent) -> list[dict[str, Any]]:
        """The same of the state before an event."""
        return await self.of(await self._states.snapshot(stored.state_before or 0))
