"""Putting received events into an order in which each comes after what it names; pure."""

from collections.abc import Callable, Sequence

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID


def oldest_first(events: Sequence[Event]) -> list[Event]:
    """Each after its previous events; the given order decides among equals. An event given twice appears once."""
    return _ordered(events, lambda event: event.prev_event_ids)


def auth_first(events: Sequence[Event]) -> list[Event]:
    """Each after its auth events, and create events before all: from room version 12 on, others stand on them without
    naming them.
    """
    return sorted(
        _ordered(events, lambda event: event.auth_event_ids), key=lambda event: event.type != "m.room.create"
    )


def _ordered(events: Sequence[Event], before: Callable[[Event], list[EventID]]) -> list[Event]:
    """A depth-first topological order without recursion. Hashes make cycles impossible, except in room
    versions 1 and 2, where one is cut.
    """
    by_id = {event.event_id: event for event in events}
    ordered: dict[EventID, Event] = {}
    entered: set[EventID] = set()
    for start in by_id:
        stack = [start]
        while stack:
            event_id = stack[-1]
            if event_id in ordered:
                stack.pop()
                continue
            waiting = []
            if event_id not in entered:
                entered.add(event_id)
                waiting = [one for one in before(by_id[event_id]) if one in by_id and one not in entered]
            if waiting:
                stack.extend(reversed(waiting))
            else:
                ordered[event_id] = by_id[event_id]
                stack.pop()
    return list(ordered.values())
