"""State resolution of room version 1: by depth, in passes over the types that carry authority.

The algorithm is known to reset state; it is kept because rooms of version 1 exist. An event ID
is hashed with SHA-1 to break ties of depth: this is an order, not a matter of security.

Spec: https://spec.matrix.org/latest/rooms/v1/#state-resolution
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Final

from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.auth_rules.selection import auth_types_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.protocol.state_resolution.sources import Conflicts, EventsByID, EventSource

_PASSES: Final = ("m.room.power_levels", "m.room.join_rules", "m.room.member")


def resolve_v1(conflicts: Conflicts, events: EventsByID) -> dict[StateKey, EventID]:
    """Return the winner of each key in conflict that has at least one known event."""
    source = EventSource(events)
    source.load(conflicts.conflicted_ids())
    candidates = {key: found for key, ids in conflicts.conflicted.items() if (found := source.among(ids))}
    state = _State(conflicts, source, (event for found in candidates.values() for event in found))
    for event_type in _PASSES:
        of_type = {key: found for key, found in candidates.items() if key[0] == event_type}
        _resolve_pass(of_type, _last_allowed, state)
    others = {key: found for key, found in candidates.items() if key[0] not in _PASSES}
    _resolve_pass(others, _first_allowed, state)
    return state.resolved


class _State:
    """*R* of the specification: what is resolved so far, over the unconflicted state."""

    def __init__(self, conflicts: Conflicts, source: EventSource, candidates: Iterable[Event]) -> None:
        self.resolved: dict[StateKey, EventID] = {}
        self._agreed = conflicts.agreed(key for event in candidates for key in auth_types_of(event))
        self._source = source
        source.load(self._agreed.values())

    def __call__(self, event_type: str, state_key: str) -> Event | None:
        key = (event_type, state_key)
        event_id = self.resolved.get(key) or self._agreed.get(key)
        return None if event_id is None else self._source.find(event_id)

    def allows(self, event: Event, replaced: Event | None = None) -> bool:
        """Whether the rules allow an event here, with `replaced` standing for its own key."""

        def lookup(event_type: str, state_key: str) -> Event | None:
            if replaced is not None and replaced.key == (event_type, state_key):
                return replaced
            return self(event_type, state_key)

        try:
            check_auth(event, lookup)
        except NotAuthorised:
            return False
        return True


def _resolve_pass(
    candidates: dict[StateKey, list[Event]],
    choose: Callable[[list[Event], _State], Event],
    state: _State,
) -> None:
    """Resolve the keys of one pass by the state before the pass, then add them to the state."""
    state.resolved.update({key: choose(found, state).event_id for key, found in candidates.items()})


def _last_allowed(events: list[Event], state: _State) -> Event:
    """Walk up by depth as long as each event is allowed in the state that the last one made."""
    first, *rest = sorted(events, key=_rank, reverse=True)
    chosen = first
    for event in rest:
        if not state.allows(event, chosen):
            break
        chosen = event
    return chosen


def _first_allowed(events: list[Event], state: _State) -> Event:
    """The highest event that is allowed; if none is, the lowest."""
    ordered = sorted(events, key=_rank)
    return next((event for event in ordered if state.allows(event)), ordered[-1])


def _rank(event: Event) -> tuple[int, str]:
    """Descending depth, then ascending `sha1(event_id)`."""
    return (-event.depth, hashlib.sha1(event.event_id.encode(), usedforsecurity=False).hexdigest())
