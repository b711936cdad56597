"""Resolution costs what the conflict is large, not what the room is large or old."""

from collections.abc import Iterator, Mapping

import pytest

from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.protocol.state_resolution.resolve import resolve_conflicts
from homeserver.protocol.state_resolution.sources import Conflicts, separate
from homeserver.protocol.state_resolution.walking import (
    auth_chain_difference,
    auth_events_by_id,
    conflicted_subgraph,
)
from tests.protocol.room_simulation import ALICE, BOB, CAROL, Fork, SimulatedRoom, StateIDs

VERSIONS = ["1", "2", "11", "12"]


def resolve_counting(room: SimulatedRoom, *states: StateIDs) -> StateIDs:
    """Resolve with everything prepared that an index would give; count what is fetched beyond."""
    conflicts = separate(states, absence_conflicts=room.version.id != "1")
    difference = auth_chain_difference([frozenset(state.values()) for state in states], room.fetch)
    subgraph = conflicted_subgraph(conflicts.conflicted_ids(), auth_events_by_id(room.fetch))
    room.fetches = room.fetched = 0
    return resolve_conflicts(room.version, conflicts, room.fetch, lambda: difference, lambda ids: subgraph)


def conflict(fork: Fork) -> tuple[Fork, Fork]:
    """Two forks in conflict about a topic, a ban and the power levels."""
    ours, theirs = fork.fork(), fork.fork()
    ours.topic(ALICE, "ours")
    theirs.topic(BOB, "theirs")
    ours.ban(ALICE, CAROL)
    theirs.join(CAROL, content={"displayname": "Carol"})
    ours.set_users(ALICE, dave=20)
    theirs.set_users(BOB, dave=10)
    return ours, theirs


@pytest.mark.parametrize("version", VERSIONS)
def test_members_who_are_not_in_conflict_are_not_fetched(version: str) -> None:
    costs = []
    for members in (10, 1_000):
        room = SimulatedRoom(version)
        fork = room.set_up(BOB, CAROL, users={BOB: 90})
        for number in range(members):
            fork.join(f"@user{number}:u.example", unchecked=True)
        ours, theirs = conflict(fork)
        assert resolve_counting(room, ours.state, theirs.state)
        costs.append((room.fetches, room.fetched))
    assert costs[0] == costs[1]
    assert costs[0][1] < 20


@pytest.mark.parametrize("version", VERSIONS)
def test_old_power_levels_are_not_fetched(version: str) -> None:
    costs = []
    for changes in (5, 200):
        room = SimulatedRoom(version)
        fork = room.set_up(BOB, CAROL, users={BOB: 90})
        for number in range(changes):
            fork.set_levels(ALICE, events={"m.room.name": number % 2})
        ours, theirs = conflict(fork)
        assert resolve_counting(room, ours.state, theirs.state)
        costs.append((room.fetches, room.fetched))
    assert costs[0] == costs[1]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resolution_asks_for_events_a_few_times_only(version: str) -> None:
    room = SimulatedRoom(version)
    fork = room.set_up(BOB, CAROL, users={BOB: 90})
    ours, theirs = fork.fork(), fork.fork()
    for number in range(200):
        user = f"@user{number}:u.example"
        ours.join(user)
        theirs.ban(BOB, user)
    assert len(resolve_counting(room, ours.state, theirs.state)) == 200
    assert room.fetches <= 4


class View(Mapping[StateKey, EventID]):
    """State that can be asked for a key, as a view of a large room can, and writes down what for."""

    def __init__(self, state: Mapping[StateKey, EventID]) -> None:
        self.state = state
        self.asked: list[StateKey] = []

    def __getitem__(self, key: StateKey) -> EventID:
        self.asked.append(key)
        return self.state[key]

    def __iter__(self) -> Iterator[StateKey]:
        raise AssertionError("the unconflicted state was listed")

    def __len__(self) -> int:
        raise AssertionError("the unconflicted state was counted")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_unconflicted_state_is_asked_once_for_a_key_and_for_few(version: str) -> None:
    room = SimulatedRoom(version)
    ours, theirs = conflict(room.set_up(BOB, CAROL, users={BOB: 90}))
    states = [ours.state, theirs.state]
    conflicts = separate(states, absence_conflicts=True)
    view = View(conflicts.unconflicted)
    difference = auth_chain_difference([frozenset(state.values()) for state in states], room.fetch)
    resolved = resolve_conflicts(
        room.version, Conflicts(conflicts.conflicted, view), room.fetch, lambda: difference
    )
    assert {**conflicts.unconflicted, **resolved} == room.resolve(*states)
    assert len(set(view.asked)) == len(view.asked) <= 5
    assert conflicts.conflicted.keys().isdisjoint(view.asked)


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_a_chain_of_thousands_of_power_levels_is_no_matter_of_recursion(version: str) -> None:
    room = SimulatedRoom(version)
    fork = room.set_up(BOB, users={BOB: 90})
    ours, theirs = fork.fork(), fork.fork()
    for number in range(2_000):
        ours.set_levels(ALICE, events={"m.room.name": number % 50})
    theirs.topic(BOB, "before all of these")
    ours.topic(ALICE, "after all of these")
    merged = room.merge(ours, theirs)
    assert merged.state == ours.state
