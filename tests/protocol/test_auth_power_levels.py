from typing import Any

import pytest

from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.room_versions import ROOM_VERSIONS
from tests.protocol.room_simulation import ALICE, BOB, CAROL, DAVE, Fork, SimulatedRoom

ALL_VERSIONS = sorted(ROOM_VERSIONS, key=int)
READS_STRINGS = ALL_VERSIONS[:9]
INTEGERS_ONLY = ALL_VERSIONS[9:]
SINGLE_LEVELS = ["users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"]


@pytest.fixture(params=ALL_VERSIONS)
def room(request: pytest.FixtureRequest) -> SimulatedRoom:
    return SimulatedRoom(request.param)


def allows(fork: Fork, sender: str, content: dict[str, Any]) -> bool:
    event = fork.build(sender, "m.room.power_levels", content, "")
    try:
        check_auth(event, fork.event)
    except NotAuthorised:
        return False
    return True


def changes(fork: Fork, sender: str, **levels: Any) -> bool:
    """Whether the sender may change these of the current levels; None removes one."""
    changed = {**levels_of(fork), **levels}
    return allows(fork, sender, {name: level for name, level in changed.items() if level is not None})


def levels_of(fork: Fork) -> dict[str, Any]:
    current = fork.event("m.room.power_levels")
    assert current is not None
    return dict(current.content)


def users_of(fork: Fork) -> dict[str, int]:
    return dict(levels_of(fork)["users"])


# --- What may stand in the event ---------------------------------------------------------------------


def test_the_first_power_levels_may_name_any_level(room: SimulatedRoom) -> None:
    room.trunk.join(ALICE)
    assert allows(room.trunk, ALICE, {"users": {BOB: 1_000_000}, "ban": 1_000_000})


def test_the_users_property_may_be_left_out(room: SimulatedRoom) -> None:
    room.trunk.join(ALICE)
    assert allows(room.trunk, ALICE, {})


NO_LEVELS: list[object] = [None, True, [], {}, "fifty", "5 0", "", "0x10", "1_000", "５"]


@pytest.mark.parametrize("name", SINGLE_LEVELS)
@pytest.mark.parametrize("value", NO_LEVELS)
def test_a_level_that_stands_for_no_integer_is_rejected(
    room: SimulatedRoom, name: str, value: object
) -> None:
    fork = room.set_up()
    assert not allows(fork, ALICE, {**levels_of(fork), name: value})


@pytest.mark.parametrize("name", SINGLE_LEVELS)
@pytest.mark.parametrize("value", NO_LEVELS)
def test_the_first_levels_may_have_such_before_version_10_and_they_count_as_not_set(
    room: SimulatedRoom, name: str, value: object
) -> None:
    fork = room.trunk
    fork.join(ALICE)
    users = {} if room.version.privileged_creators else {ALICE: 100}
    assert allows(fork, ALICE, {name: value, "users": users}) == (room.version.id in READS_STRINGS)
    if room.version.id in READS_STRINGS:
        fork.send(ALICE, "m.room.power_levels", {name: value, "users": users}, "")
        assert allows(fork, ALICE, {name: 10, "users": users})


@pytest.mark.parametrize("value", ["50", " +0050 ", "-3", 50.9, 5.1e1])
@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_strings_and_floats_are_levels_before_version_10(version: str, value: object) -> None:
    fork = SimulatedRoom(version).set_up()
    users = users_of(fork)
    for content in ({"ban": value}, {"users": {**users, BOB: value}}, {"events": {"m.room.name": value}}):
        assert allows(fork, ALICE, {"users": users, **content}) == (version in READS_STRINGS)


@pytest.mark.parametrize(
    "users", [None, [], "users", {BOB: None}, {BOB: "mighty"}, {BOB: [50]}, {BOB: False}]
)
def test_users_must_be_an_object_of_levels(room: SimulatedRoom, users: object) -> None:
    room.trunk.join(ALICE)
    assert not allows(room.trunk, ALICE, {"users": users})


@pytest.mark.parametrize("key", ["", "bob", "@bob", "bob:b.example", "@bob:", "@bob:b example"])
def test_users_must_be_named_by_user_ids(room: SimulatedRoom, key: str) -> None:
    room.trunk.join(ALICE)
    assert not allows(room.trunk, ALICE, {"users": {key: 50}})


@pytest.mark.parametrize("value", [None, [], "50", {"m.room.name": None}, {"m.room.name": [1]}])
def test_events_must_be_an_object_of_levels(room: SimulatedRoom, value: object) -> None:
    fork = room.set_up()
    assert not allows(fork, ALICE, {**levels_of(fork), "events": value})


@pytest.mark.parametrize("value", [None, [], {"room": None}])
def test_notifications_must_be_an_object_of_levels_from_version_6_on(
    room: SimulatedRoom, value: object
) -> None:
    fork = room.set_up()
    assert allows(fork, ALICE, {**levels_of(fork), "notifications": value}) == (int(room.version.id) < 6)


# --- Who may change what -----------------------------------------------------------------------------


def test_a_member_without_the_level_for_it_changes_nothing(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    assert not changes(fork, BOB, users_default=0)


@pytest.mark.parametrize("name", SINGLE_LEVELS)
def test_nobody_sets_a_level_above_their_own(room: SimulatedRoom, name: str) -> None:
    fork = room.set_up(BOB, users={BOB: 60})
    assert changes(fork, BOB, **{name: 60})
    assert not changes(fork, BOB, **{name: 61})


@pytest.mark.parametrize("name", SINGLE_LEVELS)
def test_nobody_changes_or_removes_a_level_above_their_own(room: SimulatedRoom, name: str) -> None:
    fork = room.set_up(BOB, users={BOB: 60}, events={"m.room.power_levels": 60}, **{name: 61})
    assert changes(fork, BOB, redact_own_unrelated=1)
    assert not changes(fork, BOB, **{name: 1})
    assert not changes(fork, BOB, **{name: None})


@pytest.mark.parametrize("version", ALL_VERSIONS)
@pytest.mark.parametrize("name", ["events", "notifications"])
def test_entries_of_events_and_notifications_are_kept_from_the_less_mighty(version: str, name: str) -> None:
    fork = SimulatedRoom(version).set_up(BOB, users={BOB: 60}, **{name: {"room": 61, "low": 10}})
    free = name == "notifications" and int(version) < 6
    assert changes(fork, BOB, **{name: {"room": 61, "low": 60, "new": 60}})
    for beyond in (
        {"room": 1, "low": 10},
        {"low": 10},
        {"room": 61, "low": 61},
        {"room": 61, "low": 10, "new": 61},
    ):
        assert changes(fork, BOB, **{name: beyond}) == free


def test_removing_all_entries_is_a_change_of_each(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 60}, events={"m.room.name": 61})
    assert not changes(fork, BOB, events=None)


def test_nobody_promotes_above_themselves(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 60})
    assert changes(fork, BOB, users={**users_of(fork), CAROL: 60})
    assert not changes(fork, BOB, users={**users_of(fork), CAROL: 61})
    assert not changes(fork, BOB, users={**users_of(fork), BOB: 61})


def test_nobody_demotes_or_removes_their_equals(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, DAVE, users={BOB: 60, CAROL: 60, DAVE: 59})
    assert not changes(fork, BOB, users={**users_of(fork), CAROL: 59})
    assert not changes(
        fork, BOB, users={user: level for user, level in users_of(fork).items() if user != CAROL}
    )
    assert changes(fork, BOB, users={**users_of(fork), DAVE: 10})


def test_everybody_may_demote_themselves(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 60})
    assert changes(fork, BOB, users={**users_of(fork), BOB: 10})
    assert changes(fork, BOB, users={user: level for user, level in users_of(fork).items() if user != BOB})


def test_a_level_written_differently_is_not_changed() -> None:
    fork = SimulatedRoom("9").set_up(
        BOB, users={BOB: 60, CAROL: "70"}, ban="80", events={"m.room.name": 90.5}
    )
    as_integers = {**users_of(fork), CAROL: 70}
    assert changes(fork, BOB, users=as_integers, ban=80, events={"m.room.name": "90"})
    assert not changes(fork, BOB, users={**as_integers, CAROL: 71})


def test_string_levels_give_power_before_version_10() -> None:
    fork = SimulatedRoom("9").set_up(BOB, CAROL, users={BOB: " 050 "})
    fork.kick(BOB, CAROL)
    assert fork.membership(CAROL) == "leave"


# --- Creators of version 12 --------------------------------------------------------------------------


@pytest.mark.parametrize("named", [ALICE, BOB])
def test_no_creator_may_be_named_in_users(named: str) -> None:
    fork = SimulatedRoom("12", additional_creators=[BOB]).set_up(BOB)
    assert not changes(fork, ALICE, users={named: 100})
    assert changes(fork, ALICE, users={CAROL: 100})


def test_no_creator_may_be_named_in_the_first_power_levels_either() -> None:
    room = SimulatedRoom("12")
    room.trunk.join(ALICE)
    assert not allows(room.trunk, ALICE, {"users": {ALICE: 100}})


def test_creators_set_and_take_back_every_level() -> None:
    fork = SimulatedRoom("12", additional_creators=[BOB]).set_up(BOB, ban=2**53 - 1, users={CAROL: 2**53 - 1})
    for creator in (ALICE, BOB):
        assert changes(fork, creator, ban=50, users={CAROL: 0, DAVE: 2**53 - 1})


def test_before_version_12_creators_are_named_like_anybody() -> None:
    fork = SimulatedRoom("11", additional_creators=[BOB]).set_up(BOB)
    assert changes(fork, ALICE, users={ALICE: 100, BOB: 50})


def test_without_power_levels_the_creator_has_100_and_others_nothing() -> None:
    fork = SimulatedRoom("11").trunk
    fork.join(ALICE)
    fork.join_rule(ALICE, "public")
    fork.join(BOB)
    assert allows(fork, ALICE, {"users": {ALICE: 100}})
    assert not allows(fork, BOB, {"users": {BOB: 100}})
