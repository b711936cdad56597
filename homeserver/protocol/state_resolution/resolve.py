"""Resolve the state of a room where its event graph forked: the entry to all three algorithms.

Which algorithm runs is a named rule of the room version. Everything here is synchronous and pure
over the closures it is given, and its work grows with the conflict, not with the room; long
resolutions belong on a thread.

Spec: https://spec.matrix.org/latest/server-server-api/#room-state-resolution
"""

from collections.abc import Callable, Sequence, Set

from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.protocol.room_versions import RoomVersion, StateResolution
from homeserver.protocol.state_resolution.sources import (
    AuthChainDifference,
    ConflictedSubgraph,
    Conflicts,
    EventsByID,
    EventSource,
    RejectedAmong,
    StateMap,
    none_rejected,
    separate,
)
from homeserver.protocol.state_resolution.v1 import resolve_v1
from homeserver.protocol.state_resolution.v2 import resolve_v2
from homeserver.protocol.state_resolution.walking import auth_events_by_id
from homeserver.protocol.state_resolution.walking import conflicted_subgraph as walk_subgraph


def resolve(
    version: RoomVersion,
    state_sets: Sequence[StateMap],
    events: EventsByID,
    auth_chain_difference: AuthChainDifference,
    conflicted_subgraph: ConflictedSubgraph | None = None,
    rejected_among: RejectedAmong = none_rejected,
) -> dict[StateKey, EventID]:
    """Return the resolution of some state sets, of which there must be at least one.

    `conflicted_subgraph` is for v2.1 alone; without it the auth chains of the conflicted events
    are walked by `events`.
    """
    first, *others = state_sets
    if all(other == first for other in others):
        return dict(first)
    conflicts = separate(state_sets, absence_conflicts=version.state_resolution is not StateResolution.V1)
    resolved = resolve_conflicts(
        version,
        conflicts,
        events,
        lambda: auth_chain_difference([frozenset(ids.values()) for ids in state_sets]),
        conflicted_subgraph,
        rejected_among,
    )
    return {**conflicts.unconflicted, **resolved}


def resolve_conflicts(
    version: RoomVersion,
    conflicts: Conflicts,
    events: EventsByID,
    auth_difference: Callable[[], Set[EventID]],
    conflicted_subgraph: ConflictedSubgraph | None = None,
    rejected_among: RejectedAmong = none_rejected,
) -> dict[StateKey, EventID]:
    """Resolve conflicts that the caller has told apart, and return only what is resolved.

    This is for callers who know by their deltas where state sets differ: nothing proportional to
    the room is touched. `auth_difference` gives the auth difference of the *whole* state sets; it
    is asked for at most once. The keys of the unconflicted map are never in the answer; a key
    whose events all failed is not in it either, and so is unset in the resolved state.
    """
    if not conflicts.conflicted:
        return {}
    if version.state_resolution is StateResolution.V1:
        return resolve_v1(conflicts, events)
    source = EventSource(events)
    conflicted_ids = conflicts.conflicted_ids()
    from_empty_state = version.state_resolution is StateResolution.V2_1
    if from_empty_state:
        subgraph = conflicted_subgraph or (lambda ids: walk_subgraph(ids, auth_events_by_id(events)))
        conflicted_ids |= subgraph(conflicted_ids)
    return resolve_v2(
        conflicts,
        conflicted_ids,
        auth_difference(),
        source,
        rejected_among,
        from_empty_state=from_empty_state,
    )
