"""Places in a room's history, and the rows from one on."""

from dataclasses import dataclass

from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.stream_tokens import LiveToken, PageToken, TopologicalToken
from homeserver.services.rooms.stored_event import StoredEvent
from storage.tables.events import EventRow, Events
from storage.transaction import Transaction

FURTHEST = 2**63 - 1
"""No limit of positions."""

LATEST = 2**63 - 1
"""The ordering behind all events of a depth."""

START = TopologicalToken(0, 0)
"""The place before all events."""


@dataclass(frozen=True, slots=True)
class Span:
    """A direction from a place on, within positions: after ``since`` (negative: from the beginning, with what
    was backfilled) up to ``upto``.
    """

    room_id: RoomID
    backwards: bool
    place: PageToken
    since: int
    upto: int

    def behind(self, stored: StoredEvent) -> PageToken:
        """The place at which to go on when the event has been shown."""
        if isinstance(self.place, LiveToken):
            return LiveToken(stored.pos or 0)
        return just_before(stored) if self.backwards else of_event(stored)

    def is_beyond(self, stop: PageToken | None, stored: StoredEvent) -> bool:
        """Whether the event lies on the other side of the place where to stop."""
        if stop is None:
            return False
        if isinstance(stop, LiveToken):
            return not self.backwards and stored.pos is not None and stored.pos > stop.pos
        return of_event(stored) <= stop if self.backwards else of_event(stored) > stop


def of_event(stored: StoredEvent) -> TopologicalToken:
    """The place directly behind an event."""
    return TopologicalToken(stored.event.depth, stored.ordering or 0)


def just_before(stored: StoredEvent) -> TopologicalToken:
    """The place directly before an event."""
    return TopologicalToken(stored.event.depth, (stored.ordering or 0) - 1)


def fetch(
    tx: Transaction, span: Span, place: PageToken, types: list[str] | None, limit: int
) -> list[EventRow]:
    """The next rows of a span from a place on; ``types`` None: of every type."""
    table = Events(tx)
    if isinstance(place, LiveToken):
        return table.page_since(span.room_id, place.pos, span.upto, types, limit)
    at = (span.room_id, place.depth, place.ordering)
    if not span.backwards:
        return table.page_after(*at, span.upto, types, limit)
    if span.since >= 0:
        return table.page_between(*at, span.since, span.upto, types, limit)
    return table.page_up_to(*at, span.upto, types, limit)
