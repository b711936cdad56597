"""Which relations local users may make."""

from homeserver.protocol.errors import DuplicateAnnotation, Unknown
from homeserver.protocol.events.content import Relation, relation_in, relation_of
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.local_events import EventIntent
from storage.database import Database
from storage.tables.relations import Relations

ANNOTATION = "m.annotation"
THREAD = "m.thread"


class RelationRules:
    """Checks what is about to be sent. Events without such a relation cost nothing."""

    def __init__(self, database: Database, events: EventStore) -> None:
        self._database = database
        self._events = events

    async def check(self, draft: RoomDraft, intent: EventIntent) -> None:
        """Raises DuplicateAnnotation; Unknown for a thread on an event that is itself related to another.

        https://spec.matrix.org/v1.19/client-server-api/#avoiding-duplicate-annotations,
        https://spec.matrix.org/v1.19/client-server-api/#validation-of-mthread-relationships
        """
        relation = relation_in(intent.content)
        if relation is None:
            return
        if relation.rel_type == ANNOTATION and await self._is_annotated(draft, intent, relation):
            raise DuplicateAnnotation
        if relation.rel_type == THREAD:
            root = draft.by_id.get(relation.event_id) or await self._events.find(relation.event_id)
            if root is not None and relation_of(root.event) is not None:
                raise Unknown("No thread can start at an event that relates to another one")

    async def _is_annotated(self, draft: RoomDraft, intent: EventIntent, relation: Relation) -> bool:
        for stored in draft.events:
            event = stored.event
            if (event.type, event.sender) == (intent.type, intent.sender) and relation_of(event) == relation:
                return True
        if "\0" in (relation.key or ""):
            return False
        return await self._database.read(
            lambda tx: Relations(tx).is_annotated(
                draft.head.room_id, relation.event_id, intent.type, intent.sender, relation.key
            )
        )
