"""What a client is told of a room that was purged while it was away: how its user left, and no more."""

from homeserver.protocol.canonical_json import decode
from homeserver.protocol.events.event import Event
from homeserver.protocol.room_versions import ROOM_VERSIONS
from homeserver.services.rooms.access import Seen
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sync.model import RoomUpdate, Timeline
from storage.tables.room_farewells import Farewell


def farewell(row: Farewell) -> RoomUpdate:
    """The leave as all that there is of the room."""
    encoded = row.json.encode()
    event = Event.from_trusted(decode(encoded), ROOM_VERSIONS[row.room_version], row.event_id, encoded)
    stored = StoredEvent(event, row.nid, received_ts=row.received_ts, pos=row.pos)
    return RoomUpdate(row.room_id, Timeline([Seen(stored, "leave")], limited=False, start=row.pos))
