"""Auth chains by walking: exact for any set of events, and as slow as the chains are long.

The storage answers the same questions from an index. These functions are what its answers are
held against, and the way out where no index is at hand.

Spec: https://spec.matrix.org/latest/rooms/v12/#definitions
"""

from collections.abc import Iterable, Sequence, Set

from homeserver.protocol.identifiers import EventID
from homeserver.protocol.state_resolution.sources import EventsByID

AuthEdges = dict[EventID, tuple[EventID, ...]]


def auth_chain_difference(state_sets: Sequence[frozenset[EventID]], events: EventsByID) -> set[EventID]:
    """The auth difference: the union of the full auth chains less their intersection."""
    edges = _edges_below(frozenset().union(*state_sets), events)
    chains = [_reachable(ids, edges) for ids in state_sets]
    return set().union(*chains) - set(chains[0]).intersection(*chains[1:])


def auth_chain(event_ids: Iterable[EventID], events: EventsByID) -> set[EventID]:
    """All events that can be reached by auth events, without the starts unless reached."""
    starts = frozenset(event_ids)
    return _reachable(starts, _edges_below(starts, events))


def conflicted_subgraph(conflicted: frozenset[EventID], events: EventsByID) -> set[EventID]:
    """The union of all auth paths between any pair of events of the conflicted state set.

    An event is on such a path if it comes from one conflicted event and leads to another: the
    chains are walked down once, and then up from the conflicted events.
    """
    edges = _edges_below(conflicted, events)
    above: dict[EventID, list[EventID]] = {}
    for event_id, auth_ids in edges.items():
        for auth_id in auth_ids:
            above.setdefault(auth_id, []).append(event_id)
    return _on_paths(conflicted, edges, above)


def _on_paths(
    conflicted: Set[EventID], edges: AuthEdges, above: dict[EventID, list[EventID]]
) -> set[EventID]:
    reached = _reachable(conflicted, edges)
    ends = [event_id for event_id in conflicted if event_id in reached]
    found: set[EventID] = set(ends)
    pending = ends
    while pending:
        for event_id in above.get(pending.pop(), ()):
            if event_id not in found:
                found.add(event_id)
                pending.append(event_id)
    return found


def _edges_below(starts: Set[EventID], events: EventsByID) -> AuthEdges:
    """The auth events of everything in the chains of `starts`, fetched a generation at a time."""
    edges: AuthEdges = {}
    frontier = set(starts)
    while frontier:
        found = events(frontier)
        edges.update((event_id, tuple(event.auth_event_ids)) for event_id, event in found.items())
        frontier = {auth_id for event_id in found for auth_id in edges[event_id] if auth_id not in edges}
    return edges


def _reachable(starts: Iterable[EventID], edges: AuthEdges) -> set[EventID]:
    found: set[EventID] = set()
    pending = list(starts)
    while pending:
        for auth_id in edges.get(pending.pop(), ()):
            if auth_id not in found:
                found.add(auth_id)
                pending.append(auth_id)
    return found
