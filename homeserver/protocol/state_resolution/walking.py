"""Auth chains by walking: exact, in batches, and as slow as the chains are long.

The walks know nothing of events but which others they cite. So they run on event IDs as well as on
the compact numbers of a storage, with whatever answers best what an event's auth events are.

Spec: https://spec.matrix.org/latest/rooms/v12/#definitions
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence, Set
from typing import TypeVar

from homeserver.protocol.identifiers import EventID
from homeserver.protocol.state_resolution.sources import EventsByID

Name = TypeVar("Name", bound=Hashable)
"""What events are called in a walk: an `EventID`, or a number."""

AuthEventsOf = Callable[[Collection[Name]], Mapping[Name, Sequence[Name]]]
"""The auth events of each of some events; events that are not known are left out of the answer."""


def auth_chain_difference(state_sets: Sequence[frozenset[EventID]], events: EventsByID) -> set[EventID]:
    """The auth difference: the union of the full auth chains less their intersection."""
    common = frozenset.intersection(*state_sets)
    disputed = [ids - common for ids in state_sets]
    return auth_difference(disputed, lambda: common, auth_events_by_id(events))


def auth_difference(
    disputed: Sequence[Set[Name]],
    agreed: Callable[[], Collection[Name]],
    auth_events_of: AuthEventsOf[Name],
) -> set[Name]:
    """The auth difference of state sets, told apart into what each has of its own and what all have.

    What all sets have is in every auth chain with all that it stands on, so it only takes events
    out of the difference. It is asked for last, and not at all if the conflict makes no difference;
    that walk ends as soon as nothing is left to take out.
    """
    walk = _Walk(auth_events_of)
    chains = [walk.chain(names) for names in disputed]
    candidates = set[Name]().union(*chains).difference(set(chains[0]).intersection(*chains[1:]))
    if candidates:
        candidates -= walk.chain(agreed(), until=candidates)
    return candidates


def auth_chain(event_ids: Iterable[EventID], events: EventsByID) -> set[EventID]:
    """All events that can be reached by auth events, without the starts unless reached."""
    return _Walk(auth_events_by_id(events)).chain(event_ids)


def conflicted_subgraph(conflicted: Set[Name], auth_events_of: AuthEventsOf[Name]) -> set[Name]:
    """The union of all auth paths between any pair of events of the conflicted state set.

    An event is on such a path if it comes from one conflicted event and leads to another: the
    chains are walked down once, and then up from the conflicted events.
    """
    walk = _Walk(auth_events_of)
    found = walk.chain(conflicted) & conflicted
    above = walk.citing()
    pending = list(found)
    while pending:
        for name in above.get(pending.pop(), ()):
            if name not in found:
                found.add(name)
                pending.append(name)
    return found


def auth_events_by_id(events: EventsByID) -> AuthEventsOf[EventID]:
    """The closure of the walks made of that which fetches events."""
    return lambda event_ids: {event_id: event.auth_event_ids for event_id, event in events(event_ids).items()}


class _Walk(dict[Name, Sequence[Name]]):
    """The auth events of every event that a walk has passed, each asked for once."""

    def __init__(self, auth_events_of: AuthEventsOf[Name]) -> None:
        super().__init__()
        self._auth_events_of = auth_events_of

    def chain(self, starts: Iterable[Name], until: Set[Name] = frozenset()) -> set[Name]:
        """The auth chain of `starts`, a generation at a time; or enough of it to have `until`."""
        found: set[Name] = set()
        frontier = set(starts)
        missing = set(until)
        while frontier:
            self._learn(frontier)
            cited = {auth for name in frontier for auth in self.get(name, ())}
            frontier = cited - found
            found |= frontier
            missing -= frontier
            if until and not missing:
                break
        return found

    def citing(self) -> dict[Name, list[Name]]:
        """For each event that was cited: those that cite it."""
        above: dict[Name, list[Name]] = {}
        for name, auth_events in self.items():
            for auth in auth_events:
                above.setdefault(auth, []).append(name)
        return above

    def _learn(self, names: Set[Name]) -> None:
        unknown = names - self.keys()
        if unknown:
            answer = self._auth_events_of(unknown)
            self.update((name, answer.get(name, ())) for name in unknown)
