"""What a write records of the relations between events.

https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events
"""

from collections.abc import Mapping

from homeserver.protocol.events.content import Relation, relation_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import MAX_IDENTIFIER_BYTES, EventID
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.stored_event import Status
from storage.bulk import Entry
from storage.tables.relations import BROKEN_RELATIONS, PAST_RELATIONS, RELATIONS


def relation_rows(draft: RoomDraft, index: Mapping[int, int]) -> tuple[list[Entry], frozenset[EventID]]:
    """The rows of a draft, and the events whose children change. ``index`` numbers its new events by their
    number. Redacted events have no relation any more.
    """
    entries = [BROKEN_RELATIONS.row(stored.nid) for stored in draft.redacted]
    parents = set()
    for stored in draft.events:
        relation = storable_relation(stored.event)
        if relation is None or stored.status is not Status.ACCEPTED:
            continue
        at = index.get(stored.nid)
        if at is None and stored.ordering is None:
            continue
        event = stored.event
        row = (
            stored.nid,
            event.event_id,
            event.room_id,
            relation.event_id,
            relation.rel_type,
            event.type,
            event.sender,
            event.origin_server_ts,
            event.depth,
            _may_replace(event),
            relation.key,
        )
        entries.append(PAST_RELATIONS.row(*row, stored.ordering) if at is None else RELATIONS.row(*row, at))
        parents.add(relation.event_id)
    return entries, frozenset(parents)


def storable_relation(event: Event) -> Relation | None:
    """The relation of an event, if its parts are such as can be looked up."""
    relation = relation_of(event)
    if relation is None or "\0" in relation.rel_type or "\0" in (relation.key or ""):
        return None
    fits = len(relation.rel_type.encode(errors="replace")) <= MAX_IDENTIFIER_BYTES
    return relation if fits else None


def _may_replace(event: Event) -> bool:
    """https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events, of what the replacement itself
    shows: within an encrypted one nobody can look.
    """
    if event.is_state:
        return False
    return event.type == "m.room.encrypted" or isinstance(event.content.get("m.new_content"), dict)
