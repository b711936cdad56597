"""What holds of state resolution whatever happened in the room."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.identifiers import EventID, StateKey
from homeserver.protocol.room_versions import ROOM_VERSIONS
from homeserver.protocol.state_resolution.resolve import resolve_conflicts
from homeserver.protocol.state_resolution.sources import separate
from homeserver.protocol.state_resolution.walking import auth_chain_difference
from tests.protocol.reference_resolution import ReferenceResolution
from tests.protocol.room_simulation import ALICE, BOB, CAROL, DAVE, Fork, SimulatedRoom, StateIDs

USERS = (ALICE, BOB, CAROL, DAVE)
ALL_VERSIONS = sorted(ROOM_VERSIONS, key=int)
LEVELS = st.sampled_from([0, 10, 49, 50, 90])

Action = Callable[[Fork, str, int], object]


def moderation(act: Callable[..., object]) -> st.SearchStrategy[Action]:
    return st.sampled_from(USERS).map(
        lambda target: lambda fork, sender, ts: act(fork, sender, target, ts=ts)
    )


ACTIONS: st.SearchStrategy[Action] = st.one_of(
    moderation(Fork.ban),
    moderation(Fork.kick),
    moderation(Fork.invite),
    st.just(lambda fork, sender, ts: fork.join(sender, ts=ts)),
    st.just(lambda fork, sender, ts: fork.leave(sender, ts=ts)),
    st.just(lambda fork, sender, ts: fork.topic(sender, "topic", ts=ts)),
    st.sampled_from(["public", "invite"]).map(
        lambda rule: lambda fork, sender, ts: fork.join_rule(sender, rule, ts=ts)
    ),
    st.tuples(st.sampled_from(["bob", "carol", "dave"]), LEVELS).map(
        lambda change: lambda fork, sender, ts: fork.set_users(sender, ts=ts, **{change[0]: change[1]})
    ),
    st.tuples(st.sampled_from(["ban", "invite", "state_default", "users_default"]), LEVELS).map(
        lambda change: lambda fork, sender, ts: fork.set_levels(sender, ts=ts, **{change[0]: change[1]})
    ),
)
STEPS = st.tuples(
    st.integers(0, 3),
    st.sampled_from(USERS),
    ACTIONS,
    st.integers(0, 6),
    st.sampled_from(["", "", "fork", "merge"]),
)


@st.composite
def histories(draw: st.DrawFn, versions: list[str] = ALL_VERSIONS) -> tuple[SimulatedRoom, list[StateIDs]]:
    """A room with some forks, in which users do what the rules allow them; and the forks' states."""
    room = SimulatedRoom(draw(st.sampled_from(versions)))
    room.set_up(BOB, CAROL, users={BOB: 90, CAROL: 50})
    forks = [room.trunk, room.trunk.fork()]
    for index, sender, action, ts, then in draw(st.lists(STEPS, min_size=4, max_size=25)):
        fork = forks[index % len(forks)]
        with suppress(NotAuthorised):
            action(fork, sender, 2_000_000 + ts)
        if then == "fork" and len(forks) < 4:
            forks.append(fork.fork())
        elif then == "merge" and draw(st.booleans()):
            forks[index % len(forks)] = room.merge(*forks[:2])
    return room, [fork.state for fork in forks]


@st.composite
def turned_back(draw: st.DrawFn, versions: list[str]) -> tuple[SimulatedRoom, list[StateIDs]]:
    """States as a history makes them, but with keys lost or turned back to any older event."""
    room, states = draw(histories(versions))
    of_key: dict[StateKey, list[EventID]] = {}
    for event in room.events.values():
        if event.key is not None:
            of_key.setdefault(event.key, []).append(event.event_id)
    for state in states:
        for key in draw(st.lists(st.sampled_from(sorted(of_key)), max_size=4)):
            event_id = draw(st.sampled_from([None, *of_key[key]]))
            if event_id is None:
                state.pop(key, None)
            else:
                state[key] = event_id
    return room, states


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_the_states_and_of_what_is_in_them_does_not_matter(
    history: tuple[SimulatedRoom, list[StateIDs]], random: Any
) -> None:
    room, states = history
    resolved = room.resolve(*states)
    shuffled = [dict(random.sample(list(state.items()), len(state))) for state in states]
    random.shuffle(shuffled)
    assert room.resolve(*shuffled) == resolved


@given(histories())
def test_a_state_given_twice_counts_once(history: tuple[SimulatedRoom, list[StateIDs]]) -> None:
    room, states = history
    assert room.resolve(*states, *states) == room.resolve(*states)


@given(histories())
def test_equal_states_are_their_own_resolution(history: tuple[SimulatedRoom, list[StateIDs]]) -> None:
    room, states = history
    assert room.resolve(states[0], dict(states[0])) == states[0]


@given(histories())
def test_what_is_not_in_conflict_stays(history: tuple[SimulatedRoom, list[StateIDs]]) -> None:
    room, states = history
    resolved = room.resolve(*states)
    for key, event_id in states[0].items():
        if all(state.get(key) == event_id for state in states):
            assert resolved[key] == event_id


@given(histories())
def test_every_resolved_event_is_of_its_key(history: tuple[SimulatedRoom, list[StateIDs]]) -> None:
    room, states = history
    for key, event_id in room.resolve(*states).items():
        assert room.events[event_id].key == key


@given(histories())
def test_resolving_the_conflicts_alone_gives_what_differs(
    history: tuple[SimulatedRoom, list[StateIDs]],
) -> None:
    room, states = history
    conflicts = separate(states, absence_conflicts=room.version.id != "1")
    difference = auth_chain_difference([frozenset(state.values()) for state in states], room.fetch)
    resolved = resolve_conflicts(room.version, conflicts, room.fetch, lambda: difference)
    assert not resolved.keys() & conflicts.unconflicted.keys()
    assert {**conflicts.unconflicted, **resolved} == room.resolve(*states)


@settings(max_examples=300)
@given(turned_back(ALL_VERSIONS[1:]))
def test_the_resolution_is_that_of_the_specification_word_by_word(
    history: tuple[SimulatedRoom, list[StateIDs]],
) -> None:
    room, states = history
    assume(any(state != states[0] for state in states))
    assert room.resolve(*states) == ReferenceResolution(room, states).resolve()
