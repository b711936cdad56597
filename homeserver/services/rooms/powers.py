"""The power levels of a room at some state."""

from collections.abc import Mapping

from homeserver.protocol.events.content import PowerLevels
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import StateKey
from homeserver.protocol.room_versions import RoomVersion
from homeserver.services.rooms.heads import RoomHead
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent

POWER_KEYS: tuple[StateKey, ...] = (("m.room.create", ""), ("m.room.power_levels", ""))
"""The state that power levels are read from."""


def power_levels_in(version: RoomVersion, state: Mapping[StateKey, StoredEvent]) -> PowerLevels:
    """Who may do what, by state that was looked up at `POWER_KEYS`."""
    create, power_levels = (_event(state.get(key)) for key in POWER_KEYS)
    return PowerLevels.of(version, power_levels, create)


async def power_levels_of(states: StateStore, head: RoomHead) -> PowerLevels:
    """Who may do what in a committed room."""
    return power_levels_in(head.room_version, await states.lookup(head.state, POWER_KEYS))


def _event(stored: StoredEvent | None) -> Event | None:
    return None if stored is None else stored.event
