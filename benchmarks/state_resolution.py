"""How long state resolution takes in a room of 10,000 members with two long forks.

The forks hold 300 state events each: bans, joins, power levels, topics. The closures answer from
memory, so what is measured is the algorithm; the auth difference is computed once beforehand, and
measured by itself.

    python -m benchmarks.state_resolution [members [events a fork]]
"""

import sys
import time
from collections.abc import Callable, Sized

from homeserver.protocol.state_resolution.resolve import resolve, resolve_conflicts
from homeserver.protocol.state_resolution.sources import separate
from homeserver.protocol.state_resolution.walking import (
    auth_chain_difference,
    auth_difference,
    auth_events_by_id,
    conflicted_subgraph,
)
from tests.protocol.room_simulation import ALICE, BOB, CAROL, Fork, SimulatedRoom, StateIDs

REPEATS = 5
MODERATORS = (ALICE, BOB, CAROL)


def build(version: str, members: int, length: int) -> tuple[SimulatedRoom, Fork, Fork]:
    """A room, and two forks of it that each go on for `length` state events."""
    room = SimulatedRoom(version)
    trunk = room.set_up(BOB, CAROL, users={BOB: 90, CAROL: 80})
    for number in range(members):
        trunk.join(f"@user{number}:server{number % 500}.example", unchecked=True)
    ours, theirs = trunk.fork(), trunk.fork()
    for number in range(length):
        step(ours, number, 0)
        step(theirs, number, 1)
    return room, ours, theirs


def step(fork: Fork, number: int, side: int) -> None:
    """One more state event: mostly memberships, of users that both forks deal with."""
    user = f"@user{number}:server{number % 500}.example"
    moderator = MODERATORS[(number + side) % len(MODERATORS)]
    match (number + side) % 5:
        case 0:
            fork.ban(moderator, user)
        case 1:
            fork.set_levels(ALICE, events={"m.room.topic": number % 50})
        case 2:
            fork.topic(moderator, f"topic {number} of side {side}")
        case _:
            fork.join(user, content={"displayname": f"side {side}"})


def measure(name: str, work: Callable[[], Sized]) -> None:
    """Print the best of some runs, and how many keys or events came out."""
    best = float("inf")
    size = 0
    for _ in range(REPEATS):
        start = time.perf_counter()
        size = len(work())
        best = min(best, time.perf_counter() - start)
    print(f"  {name:43} {best * 1000:8.1f} ms   {size:6} results")


def measure_version(version: str, members: int, length: int) -> None:
    """Measure one room version: the whole, and the part that a delta asks for."""
    room, ours, theirs = build(version, members, length)
    sets = [ours.state, theirs.state]
    difference = auth_chain_difference([frozenset(state.values()) for state in sets], room.fetch)
    conflicts = separate(sets, absence_conflicts=True)
    subgraph = conflicted_subgraph(conflicts.conflicted_ids(), auth_events_by_id(room.fetch))
    print(
        f"version {version}: {len(conflicts.conflicted)} keys in conflict, "
        f"{len(difference)} events in the auth difference"
    )

    def whole() -> StateIDs:
        return resolve(room.version, sets, room.fetch, lambda _: difference, lambda _: subgraph)

    def subgraph_walked() -> StateIDs:
        return resolve(room.version, sets, room.fetch, lambda _: difference)

    def conflicts_only() -> StateIDs:
        return resolve_conflicts(room.version, conflicts, room.fetch, lambda: difference, lambda _: subgraph)

    measure("whole states", whole)
    measure("whole states, the subgraph walked", subgraph_walked)
    measure("conflicts only", conflicts_only)
    measure("the auth difference, walked on numbers", numbered_difference(room, sets))


def numbered_difference(room: SimulatedRoom, sets: list[StateIDs]) -> Callable[[], set[int]]:
    """The auth difference by walking all chains, with events as numbers and their edges in memory."""
    numbers = {event_id: number for number, event_id in enumerate(room.events)}
    edges = {
        numbers[event_id]: [numbers[auth_id] for auth_id in event.auth_event_ids]
        for event_id, event in room.events.items()
    }
    states = [frozenset(numbers[event_id] for event_id in state.values()) for state in sets]

    def walk() -> set[int]:
        common = frozenset.intersection(*states)
        disputed = [state - common for state in states]
        return auth_difference(disputed, lambda: common, lambda names: {name: edges[name] for name in names})

    return walk


def main(members: int, length: int) -> None:
    """Measure one room version of each algorithm."""
    for version in ("1", "11", "12"):
        measure_version(version, members, length)


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    main(*(arguments + [10_000, 300][len(arguments) :]))
