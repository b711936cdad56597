"""Room version 1: by depth and `sha1(event_id)`, in passes over the types that carry authority."""

import hashlib

import pytest

from homeserver.protocol.events.event import Event
from tests.protocol.room_simulation import ALICE, BOB, CAROL, MALLORY, Fork, SimulatedRoom


@pytest.fixture
def room() -> SimulatedRoom:
    return SimulatedRoom("1")


def sha1(event: Event) -> str:
    return hashlib.sha1(event.event_id.encode(), usedforsecurity=False).hexdigest()


def deepen(fork: Fork, messages: int) -> None:
    for _ in range(messages):
        fork.send(ALICE, "m.room.message", {"body": "deeper"})


def test_the_deeper_topic_wins(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 50})
    ours, theirs = fork.fork(), fork.fork()
    deepen(ours, 3)
    deep = ours.topic(ALICE, "deep", ts=1)
    theirs.topic(BOB, "shallow", ts=9_000_000)
    assert room.merge(ours, theirs).holds(deep)


def test_of_equally_deep_topics_the_lowest_hash_wins(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 50})
    forks = [fork.fork() for _ in range(5)]
    topics = [each.topic(ALICE, f"topic {number}") for number, each in enumerate(forks)]
    winner = min(topics, key=sha1)
    assert room.merge(*forks).holds(winner)


def test_a_deeper_topic_that_is_not_allowed_gives_way(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 50})
    ours, theirs = fork.fork(), fork.fork()
    allowed = ours.topic(ALICE, "allowed")
    deepen(theirs, 5)
    theirs.topic(MALLORY, "not allowed", unchecked=True)
    assert room.merge(ours, theirs).holds(allowed)


def test_if_no_topic_is_allowed_the_least_deep_stays(room: SimulatedRoom) -> None:
    fork = room.set_up()
    ours, theirs = fork.fork(), fork.fork()
    shallow = ours.topic(MALLORY, "shallow", unchecked=True)
    deepen(theirs, 2)
    theirs.topic(MALLORY, "deep", unchecked=True)
    assert room.merge(ours, theirs).holds(shallow)


def test_power_levels_follow_each_other_as_long_as_they_are_allowed(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 60})
    ours, theirs = fork.fork(), fork.fork()
    ours.set_users(BOB, carol=50)
    deepen(theirs, 2)
    theirs.set_users(ALICE, carol=70)
    assert room.merge(ours, theirs).level(CAROL) == 70


def test_power_levels_that_are_not_allowed_after_the_shallower_ones_are_left_out(
    room: SimulatedRoom,
) -> None:
    fork = room.set_up(BOB, users={BOB: 60})
    ours, theirs = fork.fork(), fork.fork()
    ours.set_users(ALICE, bob=0)
    deepen(theirs, 2)
    theirs.set_users(BOB, mallory=60)
    merged = room.merge(ours, theirs)
    assert merged.level(BOB) == 0
    assert merged.level(MALLORY) is None


def test_members_are_judged_by_the_power_levels_resolved_before(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 60})
    ours, theirs = fork.fork(), fork.fork()
    ours.set_users(ALICE, bob=0)
    ours.join(CAROL, content={"displayname": "Carol"})
    deepen(theirs, 2)
    theirs.ban(BOB, CAROL)
    assert room.merge(ours, theirs).membership(CAROL) == "join"


def test_a_deep_ban_stands_on_a_shallow_join(room: SimulatedRoom) -> None:
    fork = room.set_up(CAROL)
    ours, theirs = fork.fork(), fork.fork()
    ours.join(CAROL, content={"displayname": "Carol"})
    deepen(theirs, 2)
    theirs.ban(ALICE, CAROL)
    assert room.merge(ours, theirs).membership(CAROL) == "ban"


def test_what_only_one_state_has_is_not_in_conflict(room: SimulatedRoom) -> None:
    fork = room.set_up()
    ours, theirs = fork.fork(), fork.fork()
    ours.topic(MALLORY, "not allowed, and not asked", unchecked=True)
    assert ("m.room.topic", "") in room.merge(ours, theirs).state


def test_conflicting_events_that_are_not_known_are_passed_over(room: SimulatedRoom) -> None:
    fork = room.set_up()
    ours, theirs = fork.fork(), fork.fork()
    known = ours.topic(ALICE, "known")
    lost = theirs.topic(ALICE, "lost")
    ours.send(ALICE, "m.room.name", {"name": "lost"}, "")
    theirs.send(ALICE, "m.room.name", {"name": "lost as well"}, "")
    for event in (lost, *(event for event in room.events.values() if event.type == "m.room.name")):
        room.events.pop(event.event_id, None)
    merged = room.merge(ours, theirs)
    assert merged.holds(known)
    assert ("m.room.name", "") not in merged.state
