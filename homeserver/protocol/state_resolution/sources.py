"""What state resolution reads: conflicts between state sets, and events by their ID.

Resolution is pure. Whatever it needs to know of the world comes through the closures named
here, each of which takes a batch, so that a caller with a database answers in a few queries.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, StateKey

StateMap = Mapping[StateKey, EventID]

EventsByID = Callable[[Collection[EventID]], Mapping[EventID, Event]]
"""Fetch events. IDs that are not known are left out of the answer."""

AuthChainDifference = Callable[[Sequence[frozenset[EventID]]], Set[EventID]]
"""From the event IDs of each state set: the union of their auth chains less the intersection."""

ConflictedSubgraph = Callable[[frozenset[EventID]], Set[EventID]]
"""From the conflicted state set: every event on a path of auth events between two of its members."""

RejectedAmong = Callable[[Collection[EventID]], Set[EventID]]
"""Which of some events were rejected on receipt."""

CREATE_KEY: Final[StateKey] = ("m.room.create", "")
POWER_LEVELS_KEY: Final[StateKey] = ("m.room.power_levels", "")
JOIN_RULES_KEY: Final[StateKey] = ("m.room.join_rules", "")
MEMBER: Final = "m.room.member"


def none_rejected(event_ids: Collection[EventID]) -> Set[EventID]:
    """Answer for callers whose events were all accepted."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class Conflicts:
    """State sets, told apart into what they agree on and what they do not.

    `conflicted` has the distinct event IDs of each key in dispute. `unconflicted` may be a view of
    something larger: it is only ever asked by `get`, once for a key, and never for one in dispute.
    """

    conflicted: Mapping[StateKey, frozenset[EventID]]
    unconflicted: StateMap

    def conflicted_ids(self) -> frozenset[EventID]:
        """The conflicted state set."""
        return frozenset().union(*self.conflicted.values())

    def agreed(self, keys: Iterable[StateKey]) -> dict[StateKey, EventID]:
        """What the unconflicted state map has under some keys."""
        asked = ((key, self.unconflicted.get(key)) for key in set(keys) - self.conflicted.keys())
        return {key: event_id for key, event_id in asked if event_id is not None}


def separate(state_sets: Sequence[StateMap], *, absence_conflicts: bool) -> Conflicts:
    """Tell apart the unconflicted state map and the conflicted state set.

    From version 2 of the algorithm a key that one set lacks is in conflict
    (`absence_conflicts`); in version 1 only different event IDs for the same key are.
    """
    first, *others = state_sets
    disputed: set[StateKey] = set()
    for other in others:
        disputed.update(key for key, event_id in first.items() if other.get(key) != event_id)
        disputed.update(other.keys() - first.keys())
    unconflicted = {key: event_id for key, event_id in first.items() if key not in disputed}
    conflicted: dict[StateKey, frozenset[EventID]] = {}
    for key in disputed:
        found = frozenset(ids[key] for ids in state_sets if key in ids)
        if len(found) == 1 and not absence_conflicts:
            unconflicted[key] = next(iter(found))
        else:
            conflicted[key] = found
    return Conflicts(conflicted=conflicted, unconflicted=unconflicted)


class EventSource:
    """Events fetched in batches, each at most once in a resolution."""

    __slots__ = ("_fetch", "_known")

    def __init__(self, fetch: EventsByID) -> None:
        self._fetch = fetch
        self._known: dict[EventID, Event | None] = {}

    def load(self, event_ids: Iterable[EventID]) -> None:
        """Fetch the events that are not at hand yet, in one call."""
        missing = {event_id for event_id in event_ids if event_id not in self._known}
        if missing:
            found = self._fetch(missing)
            for event_id in missing:
                self._known[event_id] = found.get(event_id)

    def find(self, event_id: EventID) -> Event | None:
        """Return an event, or None if it is not known to this server."""
        if event_id not in self._known:
            self.load((event_id,))
        return self._known[event_id]

    def among(self, event_ids: Iterable[EventID]) -> list[Event]:
        """Return those of the events that are known; call `load` first for a batch."""
        return [event for event_id in event_ids if (event := self.find(event_id)) is not None]

    def load_auth_events(self, events: Iterable[Event]) -> None:
        """Fetch the auth events of some events, in one call."""
        self.load(auth_id for event in events for auth_id in event.auth_event_ids)

    def power_levels_of(self, event: Event) -> Event | None:
        """The `m.room.power_levels` event among an event's auth events."""
        return next((auth for auth in self.auth_events(event) if auth.key == POWER_LEVELS_KEY), None)

    def create_of(self, event: Event) -> Event | None:
        """The create event that an event stands on: among its auth events, or named by its room."""
        if event.version.room_id_is_create_hash:
            create = self.find(create_event_id(event.room_id))
            return create if create is not None and create.key == CREATE_KEY else None
        return next((auth for auth in self.auth_events(event) if auth.key == CREATE_KEY), None)

    def auth_events(self, event: Event) -> list[Event]:
        """An event's auth events in its own room.

        An auth event of another room gets an event rejected; should one be met all the same,
        it must not lend its power here.
        """
        room_id = event.room_id
        return [auth for auth in self.among(event.auth_event_ids) if auth.room_id == room_id]


def create_event_id(room_id: RoomID) -> EventID:
    """The create event's ID, in rooms whose ID is that event's hash ("!" in place of "$")."""
    return EventID("$" + room_id[1:])
