"""State resolution of room versions 2 to 11 (v2) and of version 12 (v2.1).

The two differ in two named rules of the room version: v2.1 starts its iterative auth checks from
the empty state map, and it takes the conflicted state subgraph into the full conflicted set.

Spec: https://spec.matrix.org/latest/rooms/v12/#state-resolution
"""

from collections.abc import Collection, Mapping, Set
from typing import Final

from homeserver.protocol.auth_rules.selection import auth_types_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.protocol.state_resolution.iterative_auth import iterative_auth_checks
from homeserver.protocol.state_resolution.ordering import (
    mainline_ordering,
    reverse_topological_power_ordering,
)
from homeserver.protocol.state_resolution.sources import (
    CREATE_KEY,
    JOIN_RULES_KEY,
    MEMBER,
    POWER_LEVELS_KEY,
    Conflicts,
    EventSource,
    RejectedAmong,
    StateMap,
    create_event_id,
)

_EMPTY: Final[StateMap] = {}


def resolve_v2(
    conflicts: Conflicts,
    conflicted_ids: Set[EventID],
    difference_ids: Set[EventID],
    source: EventSource,
    rejected_among: RejectedAmong,
    *,
    from_empty_state: bool,
) -> dict[StateKey, EventID]:
    """Return the resolved events of the keys that are not in the unconflicted state map.

    `conflicted_ids` are the conflicted state set, and in v2.1 the conflicted state subgraph as
    well; with the auth difference they make the full conflicted set. Of the auth difference what is
    itself unconflicted state is left out: nothing is to be decided about it, and no deployed server
    puts it up for decision. The letter of the specification would (the auth chain of a state does
    not count the state's own events), and servers must agree more than anything else.
    """
    ids = conflicted_ids | difference_ids
    source.load(ids)
    known = [event for event in source.among(ids) if event.key is not None]
    agreed = conflicts.agreed(_keys_in_question(known, of_their_auth=not from_empty_state))
    full = {
        event.event_id: event
        for event in known
        if event.event_id in conflicted_ids or not _is_agreed(event, agreed)
    }
    base = _EMPTY if from_empty_state else agreed
    rejected = _load_surroundings(full.values(), base, source, rejected_among)

    power = _power_events_and_their_auth(full)
    state: dict[StateKey, EventID] = {}
    iterative_auth_checks(reverse_topological_power_ordering(power, source), state, base, source, rejected)
    head_id = state.get(POWER_LEVELS_KEY) or base.get(POWER_LEVELS_KEY)
    head = None if head_id is None else source.find(head_id)
    remaining = [event for event_id, event in full.items() if event_id not in power]
    iterative_auth_checks(mainline_ordering(remaining, head, source), state, base, source, rejected)
    return {key: event_id for key, event_id in state.items() if key not in agreed}


def _is_agreed(event: Event, agreed: StateMap) -> bool:
    return event.key is not None and agreed.get(event.key) == event.event_id


def _keys_in_question(events: Collection[Event], *, of_their_auth: bool) -> set[StateKey]:
    """The keys that the events may take, and with `of_their_auth` those that they are judged by."""
    keys = {event.key for event in events if event.key is not None}
    if of_their_auth:
        keys.update(key for event in events for key in auth_types_of(event))
        keys.update((CREATE_KEY, POWER_LEVELS_KEY))
    return keys


def _load_surroundings(
    events: Collection[Event],
    base: StateMap,
    source: EventSource,
    rejected_among: RejectedAmong,
) -> Set[EventID]:
    """Fetch in one call all that the ordering and the checks will look at.

    These are the auth events, and the unconflicted state that the events are judged by. Returns
    which of the auth events were rejected.
    """
    auth_ids = {auth_id for event in events for auth_id in event.auth_event_ids}
    auth_ids.update(
        create_event_id(event.room_id) for event in events if event.version.room_id_is_create_hash
    )
    source.load(auth_ids.union(base.values()))
    return rejected_among(auth_ids)


def _power_events_and_their_auth(full: Mapping[EventID, Event]) -> dict[EventID, Event]:
    """The set *X*: the power events, and of their auth chains what is in the full conflicted set.

    Chains are followed within the full conflicted set, as every deployed server does.
    """
    pending = [event_id for event_id, event in full.items() if is_power_event(event)]
    found: dict[EventID, Event] = {}
    while pending:
        event_id = pending.pop()
        if event_id not in found:
            found[event_id] = full[event_id]
            pending.extend(auth for auth in full[event_id].auth_event_ids if auth in full)
    return found


def is_power_event(event: Event) -> bool:
    """Whether an event "might remove someone's ability to do something in the room".

    Power levels and join rules count under the empty state key, which is the only one that the
    authorisation rules ever look at.
    """
    if event.key in (POWER_LEVELS_KEY, JOIN_RULES_KEY):
        return True
    return event.type == MEMBER and event.membership in ("leave", "ban") and event.sender != event.state_key
