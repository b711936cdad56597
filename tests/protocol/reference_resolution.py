"""State resolution from version 2 on, word by word from the specification and without care for time.

What the real implementation answers is held against this one. Two things are as all deployed servers
do them: the auth graph is followed within the full conflicted set, and unconflicted state is not
taken into that set by the auth difference.
"""

import math
from collections.abc import Sequence

from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.events.content import PowerLevels
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.protocol.room_versions import StateResolution
from tests.protocol.room_simulation import SimulatedRoom, StateIDs

LEVELS = ("m.room.power_levels", "")


class ReferenceResolution:
    """The resolution of state sets in a simulated room."""

    def __init__(self, room: SimulatedRoom, state_sets: Sequence[StateIDs]) -> None:
        self.room = room
        self.sets = state_sets
        self.newest = room.version.state_resolution is StateResolution.V2_1

    def resolve(self) -> StateIDs:
        keys = {key for state in self.sets for key in state}
        unconflicted = {
            key: self.sets[0][key]
            for key in keys
            if all(key in state and state[key] == self.sets[0].get(key) for state in self.sets)
        }
        conflicted = {state[key] for state in self.sets for key in state if key not in unconflicted}
        full = conflicted | self.auth_difference().difference(unconflicted.values())
        if self.newest:
            full |= self.subgraph(conflicted)

        first = self.power_ordering(self.power_events_with_auth(full), full)
        state = {} if self.newest else dict(unconflicted)
        self.apply(first, state)
        rest = [event_id for event_id in full if event_id not in first]
        self.apply(self.mainline_ordering(rest, state.get(LEVELS)), state)
        return {**state, **unconflicted}

    def event(self, event_id: EventID) -> Event:
        return self.room.events[event_id]

    def chain(self, event_id: EventID) -> set[EventID]:
        found: set[EventID] = set()
        for auth_id in self.event(event_id).auth_event_ids:
            found |= {auth_id} | self.chain(auth_id)
        return found

    def auth_difference(self) -> set[EventID]:
        chains = [set().union(*(self.chain(event_id) for event_id in state.values())) for state in self.sets]
        return set().union(*chains) - chains[0].intersection(*chains)

    def subgraph(self, conflicted: set[EventID]) -> set[EventID]:
        chains = {event_id: self.chain(event_id) for event_id in self.room.events}
        return {
            event_id
            for event_id, below in chains.items()
            if (event_id in conflicted or below & conflicted)
            and (event_id in conflicted or any(event_id in chains[start] for start in conflicted))
        }

    def power_events_with_auth(self, full: set[EventID]) -> set[EventID]:
        def is_power(event: Event) -> bool:
            if event.key in (LEVELS, ("m.room.join_rules", "")):
                return True
            removed = event.membership in ("leave", "ban")
            return removed and event.sender != event.state_key

        def with_auth(event_id: EventID) -> set[EventID]:
            inside = [auth for auth in self.event(event_id).auth_event_ids if auth in full]
            return {event_id}.union(*(with_auth(auth_id) for auth_id in inside))

        return set().union(*(with_auth(event_id) for event_id in full if is_power(self.event(event_id))))

    def power_ordering(self, events: set[EventID], full: set[EventID]) -> list[EventID]:
        def smallest_first(event_id: EventID) -> tuple[float, int, EventID]:
            event = self.event(event_id)
            auth = {self.event(each).key: self.event(each) for each in event.auth_event_ids}
            levels = PowerLevels.of(event.version, auth.get(LEVELS), self.room.create)
            return (-levels.user(event.sender), event.origin_server_ts, event_id)

        ordered: list[EventID] = []
        while len(ordered) < len(events):
            candidates = [
                event_id
                for event_id in events.difference(ordered)
                if not set(self.event(event_id).auth_event_ids) & events.difference(ordered)
            ]
            ordered.append(min(candidates, key=smallest_first))
        return ordered

    def levels_before(self, event_id: EventID) -> list[EventID]:
        """The list e1, ..., em of power levels events."""
        found = [auth for auth in self.event(event_id).auth_event_ids if self.event(auth).key == LEVELS]
        return [found[0], *self.levels_before(found[0])] if found else []

    def mainline_ordering(self, events: list[EventID], head: EventID | None) -> list[EventID]:
        mainline = [] if head is None else [head, *self.levels_before(head)]

        def smallest_first(event_id: EventID) -> tuple[float, int, EventID]:
            met = [mainline.index(each) for each in self.levels_before(event_id) if each in mainline]
            position = met[0] if met else math.inf
            return (-position, self.event(event_id).origin_server_ts, event_id)

        return sorted(events, key=smallest_first)

    def apply(self, ordered: list[EventID], state: dict[StateKey, EventID]) -> None:
        for event_id in ordered:
            event = self.event(event_id)
            by_key: dict[StateKey | None, EventID] = {("m.room.create", ""): self.room.create.event_id}
            by_key.update((self.event(auth).key, auth) for auth in event.auth_event_ids)
            by_key.update(state.items())
            events = {key: self.event(each) for key, each in by_key.items()}
            try:
                check_auth(event, lambda *key, events=events: events.get(key))
            except NotAuthorised:
                continue
            assert event.key is not None
            state[event.key] = event_id
