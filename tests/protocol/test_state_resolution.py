import pytest

from homeserver.protocol.room_versions import ROOM_VERSIONS
from tests.protocol.room_simulation import ALICE, BOB, CAROL, DAVE, MALLORY, SimulatedRoom

ALL_VERSIONS = sorted(ROOM_VERSIONS, key=int)
FROM_V2_ON = ALL_VERSIONS[1:]


@pytest.fixture(params=FROM_V2_ON)
def room(request: pytest.FixtureRequest) -> SimulatedRoom:
    return SimulatedRoom(request.param)


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_equal_states_resolve_to_themselves_without_a_look_at_any_event(version: str) -> None:
    room = SimulatedRoom(version)
    state = room.set_up(BOB, CAROL).state
    assert room.resolve(state, dict(state), dict(state)) == state
    assert room.fetches == 0


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_changes_of_different_things_are_all_kept(version: str) -> None:
    room = SimulatedRoom(version)
    fork = room.set_up(BOB, users={BOB: 50})
    ours, theirs = fork.fork(), fork.fork()
    topic = ours.topic(ALICE, "ours")
    joined = theirs.join(CAROL)
    merged = room.merge(ours, theirs)
    assert merged.holds(topic)
    assert merged.holds(joined)


def test_the_later_of_two_topics_wins(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 50})
    ours, theirs = fork.fork(), fork.fork()
    later = ours.topic(ALICE, "later", ts=3_000_000)
    theirs.topic(BOB, "earlier", ts=2_000_000)
    assert room.merge(ours, theirs).holds(later)


def test_of_two_topics_of_one_time_the_greater_event_id_wins(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 50})
    ours, theirs = fork.fork(), fork.fork()
    topics = [ours.topic(ALICE, "one", ts=3_000_000), theirs.topic(BOB, "two", ts=3_000_000)]
    last = max(topics, key=lambda topic: topic.event_id)
    assert room.merge(ours, theirs).holds(last)


def test_a_topic_on_newer_power_levels_wins_over_a_later_one_on_older_ones(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 50})
    ours, theirs = fork.fork(), fork.fork()
    ours.set_users(ALICE, carol=50)
    newer = ours.topic(ALICE, "by newer levels", ts=2_000_000)
    theirs.topic(BOB, "by older levels, later", ts=9_000_000)
    assert room.merge(ours, theirs).holds(newer)


# --- Power levels ------------------------------------------------------------------------------------


def test_the_change_of_the_mightier_admin_is_judged_first(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 90})
    ours, theirs = fork.fork(), fork.fork()
    ours.set_users(ALICE, bob=0, ts=9_000_000)
    theirs.set_users(BOB, carol=50, ts=2_000_000)
    merged = room.merge(ours, theirs)
    assert merged.level(BOB) == 0
    assert merged.level(CAROL) is None


def test_of_two_admins_who_demote_each_other_the_mightier_stays(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 90, CAROL: 80})
    ours, theirs = fork.fork(), fork.fork()
    ours.set_users(BOB, carol=10, ts=9_000_000)
    theirs.set_users(CAROL, carol=79, mallory=70, ts=2_000_000)
    merged = room.merge(ours, theirs)
    assert merged.level(BOB) == 90
    assert merged.level(CAROL) == 10
    assert merged.level(MALLORY) is None


@pytest.mark.parametrize("version", ALL_VERSIONS[1:11])
def test_of_two_equal_admins_the_later_change_stands(version: str) -> None:
    room = SimulatedRoom(version)
    fork = room.set_up(BOB, CAROL, users={BOB: 100})
    ours, theirs = fork.fork(), fork.fork()
    ours.set_users(ALICE, carol=50, ts=3_000_000)
    theirs.set_users(BOB, carol=60, ts=2_000_000)
    assert room.merge(ours, theirs).level(CAROL) == 50


def test_a_demoted_admin_cannot_escape_by_a_fork_from_before(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 50})
    before = fork.fork()
    fork.set_users(ALICE, bob=0)
    before.topic(BOB, "I am still mighty here", ts=9_000_000)
    merged = room.merge(fork, before)
    assert ("m.room.topic", "") not in merged.state


# --- Bans and joins ----------------------------------------------------------------------------------


def test_a_ban_wins_over_a_later_profile_change_of_the_banned(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    ours, theirs = fork.fork(), fork.fork()
    ours.ban(ALICE, BOB, ts=2_000_000)
    theirs.join(BOB, content={"displayname": "not me"}, ts=9_000_000)
    assert room.merge(ours, theirs).membership(BOB) == "ban"


def test_a_ban_wins_over_leaving_and_joining_again(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    ours, theirs = fork.fork(), fork.fork()
    ours.ban(ALICE, BOB, ts=2_000_000)
    theirs.leave(BOB, ts=9_000_000)
    theirs.join(BOB, ts=9_000_001)
    assert room.merge(ours, theirs).membership(BOB) == "ban"


def test_a_ban_wins_over_the_first_join_of_the_banned(room: SimulatedRoom) -> None:
    fork = room.set_up()
    ours, theirs = fork.fork(), fork.fork()
    ours.ban(ALICE, MALLORY, ts=9_000_000)
    theirs.join(MALLORY, ts=2_000_000)
    assert room.merge(ours, theirs).membership(MALLORY) == "ban"


def test_what_a_banned_moderator_did_meanwhile_is_undone(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 50})
    ours, theirs = fork.fork(), fork.fork()
    ours.ban(ALICE, BOB, ts=9_000_000)
    theirs.topic(BOB, "while I can", ts=2_000_000)
    theirs.kick(BOB, CAROL, ts=2_000_001)
    merged = room.merge(ours, theirs)
    assert merged.membership(BOB) == "ban"
    assert merged.membership(CAROL) == "join"
    assert ("m.room.topic", "") not in merged.state


def test_of_two_who_ban_each_other_the_mightier_stays(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 70, CAROL: 60}, ban=50)
    ours, theirs = fork.fork(), fork.fork()
    ours.ban(BOB, CAROL, ts=9_000_000)
    theirs.ban(CAROL, MALLORY, ts=2_000_000)
    merged = room.merge(ours, theirs)
    assert merged.membership(CAROL) == "ban"
    assert merged.membership(MALLORY) is None


def test_who_joins_while_the_room_is_closed_is_not_let_in(room: SimulatedRoom) -> None:
    fork = room.set_up()
    ours, theirs = fork.fork(), fork.fork()
    ours.join_rule(ALICE, "invite", ts=9_000_000)
    theirs.join(BOB, ts=2_000_000)
    assert room.merge(ours, theirs).membership(BOB) is None


def test_an_invited_user_comes_in_while_the_room_is_closed(room: SimulatedRoom) -> None:
    fork = room.set_up()
    fork.invite(ALICE, BOB)
    ours, theirs = fork.fork(), fork.fork()
    ours.join_rule(ALICE, "invite", ts=9_000_000)
    theirs.join(BOB, ts=2_000_000)
    merged = room.merge(ours, theirs)
    # The join does not follow from the resolved invite: that key is resolved to the join itself.
    assert merged.membership(BOB) == "join"


def test_three_forks_resolve_as_one(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, DAVE, users={BOB: 60, CAROL: 50})
    one, two, three = fork.fork(), fork.fork(), fork.fork()
    one.set_users(ALICE, carol=0)
    two.ban(BOB, DAVE)
    three.topic(CAROL, "three")
    three.ban(CAROL, MALLORY)
    merged = room.merge(one, two, three)
    assert merged.level(CAROL) == 0
    assert merged.membership(DAVE) == "ban"
    assert merged.membership(MALLORY) is None
    assert ("m.room.topic", "") not in merged.state


# --- Creators of version 12 --------------------------------------------------------------------------


def test_no_admin_outlasts_a_creator() -> None:
    room = SimulatedRoom("12", additional_creators=[CAROL])
    fork = room.set_up(BOB, CAROL, users={BOB: 2**53 - 1})
    ours, theirs = fork.fork(), fork.fork()
    ours.set_users(CAROL, bob=0, ts=9_000_000)
    theirs.set_levels(BOB, state_default=2**53 - 1, ts=2_000_000)
    merged = room.merge(ours, theirs)
    assert merged.level(BOB) == 0
    power_levels = merged.event("m.room.power_levels")
    assert power_levels is not None
    assert "state_default" not in power_levels.content


def test_two_creators_are_equals_and_the_earlier_change_is_judged_first() -> None:
    room = SimulatedRoom("12", additional_creators=[CAROL])
    fork = room.set_up(BOB, CAROL)
    ours, theirs = fork.fork(), fork.fork()
    ours.ban(CAROL, BOB, ts=2_000_000)
    theirs.kick(ALICE, BOB, ts=9_000_000)
    # Both are allowed, and the later one is applied last: it lifts the ban.
    assert room.merge(ours, theirs).membership(BOB) == "leave"
