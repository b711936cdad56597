"""What of a filter only the database can tell: whether other events relate to an event.

https://spec.matrix.org/v1.19/client-server-api/#filtering (`related_by_senders`, `related_by_rel_types`)
"""

from collections.abc import Sequence

from homeserver.protocol.filters import RoomEventFilter
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.relations import Relations


async def with_children(
    database: Database, filter: RoomEventFilter, events: Sequence[StoredEvent]
) -> Sequence[StoredEvent]:
    """Those events that have such children as the filter asks for; all, and no query, if it asks for none."""
    if not events or not filter.asks_for_children:
        return events
    senders = None if filter.related_by_senders is None else list(filter.related_by_senders)
    rel_types = None if filter.related_by_rel_types is None else list(filter.related_by_rel_types)
    event_ids = [stored.event.event_id for stored in events]
    parents = set(await database.read(lambda tx: Relations(tx).related_by(event_ids, senders, rel_types)))
    return [stored for stored in events if stored.event.event_id in parents]
