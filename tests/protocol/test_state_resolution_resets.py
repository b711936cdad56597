"""States that version 2 of the algorithm loses or turns back, and that version 2.1 keeps."""

from collections.abc import Set

import pytest

from homeserver.protocol.identifiers import EventID
from homeserver.protocol.state_resolution.resolve import resolve
from homeserver.protocol.state_resolution.walking import auth_chain_difference
from tests.protocol.room_simulation import ALICE, BOB, CAROL, DAVE, Fork, SimulatedRoom

V2 = [str(number) for number in range(2, 12)]


def forks_after_an_admin_left(version: str) -> tuple[SimulatedRoom, Fork, Fork]:
    """Bob changes the levels twice and leaves; one server has not seen his second change.

    Both servers know that Bob left, so that is unconflicted, and both have levels that he set.
    """
    room = SimulatedRoom(version)
    fork = room.set_up(BOB, users={BOB: 90})
    fork.set_users(BOB, carol=50)
    change, departure = fork.fork(), fork.fork()
    change.set_users(BOB, dave=50)
    departure.leave(BOB)
    return room, room.merge(change, departure), departure


@pytest.mark.parametrize("version", V2)
def test_v2_loses_power_levels_whose_author_has_left(version: str) -> None:
    room, knowing, unknowing = forks_after_an_admin_left(version)
    assert knowing.level(DAVE) == 50
    assert ("m.room.power_levels", "") not in room.merge(knowing, unknowing).state


def test_v2_1_keeps_power_levels_whose_author_has_left() -> None:
    room, knowing, unknowing = forks_after_an_admin_left("12")
    merged = room.merge(knowing, unknowing)
    assert merged.level(DAVE) == 50
    assert merged.membership(BOB) == "leave"


def forks_after_the_door_was_shut(version: str) -> tuple[SimulatedRoom, Fork, Fork]:
    """Bob joined while the room was public, and both servers know that it is not so any more.

    One of them has lost his join, for instance by an earlier reset. Carol's join stands on the old
    join rules in both, so those are not in the auth difference.
    """
    room = SimulatedRoom(version)
    fork = room.set_up(BOB, CAROL)
    fork.join_rule(ALICE, "invite")
    forgetful = fork.fork()
    del forgetful.state["m.room.member", BOB]
    return room, fork, forgetful


@pytest.mark.parametrize("version", V2)
def test_v2_puts_out_a_member_who_joined_before_the_door_was_shut(version: str) -> None:
    room, fork, forgetful = forks_after_the_door_was_shut(version)
    assert room.merge(fork, forgetful).membership(BOB) is None


def test_v2_1_keeps_a_member_who_joined_before_the_door_was_shut() -> None:
    room, fork, forgetful = forks_after_the_door_was_shut("12")
    merged = room.merge(fork, forgetful)
    assert merged.membership(BOB) == "join"
    join_rules = merged.event("m.room.join_rules")
    assert join_rules is not None
    assert join_rules.content == {"join_rule": "invite"}


def forks_of_one_auth_chain(version: str) -> tuple[SimulatedRoom, Fork, Fork]:
    """Levels by Bob, then twice by Alice; a server was turned back to those by Bob.

    Alice's first change lies between the two in conflict, and in the auth chains of both states
    (by the topic): so neither the conflicted state set nor the auth difference has it.
    """
    room = SimulatedRoom(version)
    fork = room.set_up(BOB, CAROL, users={BOB: 90})
    fork.set_levels(BOB, events={"m.room.topic": 50})
    turned_back_to = fork.state["m.room.power_levels", ""]
    fork.set_users(ALICE, carol=50)
    fork.topic(CAROL, "sent by Carol, who has the level")
    turned_back = fork.fork()
    turned_back.state["m.room.power_levels", ""] = turned_back_to
    fork.set_users(ALICE, dave=50)
    return room, fork, turned_back


@pytest.mark.parametrize("version", V2)
def test_v2_turns_power_levels_back_when_it_misses_what_lies_between(version: str) -> None:
    room, fork, turned_back = forks_of_one_auth_chain(version)
    merged = room.merge(fork, turned_back)
    assert merged.state["m.room.power_levels", ""] == turned_back.state["m.room.power_levels", ""]
    assert merged.level(CAROL) is None


def test_v2_1_sees_what_lies_between_and_keeps_the_latest_power_levels() -> None:
    room, fork, turned_back = forks_of_one_auth_chain("12")
    assert room.merge(fork, turned_back).state == fork.state


def test_without_the_conflicted_state_subgraph_v2_1_would_turn_back_too() -> None:
    room, fork, turned_back = forks_of_one_auth_chain("12")

    def no_subgraph(conflicted: frozenset[EventID]) -> Set[EventID]:
        return frozenset()

    resolved = resolve(
        room.version,
        [fork.state, turned_back.state],
        room.fetch,
        lambda ids: auth_chain_difference(ids, room.fetch),
        no_subgraph,
    )
    assert resolved == turned_back.state


@pytest.mark.parametrize("version", [*V2, "12"])
@pytest.mark.parametrize("rejected", [False, True])
def test_a_rejected_auth_event_lends_no_authority(version: str, rejected: bool) -> None:
    room = SimulatedRoom(version)
    fork = room.set_up(BOB)
    del fork.state["m.room.power_levels", ""]
    theirs = fork.fork()
    forged = theirs.power_levels(BOB, users={BOB: 100}, unchecked=True)
    topic = theirs.topic(BOB, "by forged power", unchecked=True)
    del theirs.state["m.room.power_levels", ""]
    resolved = resolve(
        room.version,
        [fork.state, theirs.state],
        room.fetch,
        lambda ids: frozenset(),
        rejected_among=lambda ids: {forged.event_id} & set(ids) if rejected else set(),
    )
    assert (topic.key in resolved) is not rejected
