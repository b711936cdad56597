from typing import Any

import pytest

from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.room_versions import ROOM_VERSIONS
from tests.protocol.room_simulation import ALICE, BOB, CAROL, DAVE, MALLORY, Fork, SimulatedRoom

ALL_VERSIONS = sorted(ROOM_VERSIONS, key=int)
KNOCKING = ALL_VERSIONS[6:]
RESTRICTED = ALL_VERSIONS[7:]
KNOCK_RESTRICTED = ALL_VERSIONS[9:]


@pytest.fixture(params=ALL_VERSIONS)
def room(request: pytest.FixtureRequest) -> SimulatedRoom:
    return SimulatedRoom(request.param)


def rejects(fork: Fork, sender: str, target: str | None, membership: object, **content: Any) -> bool:
    event = fork.build(sender, "m.room.member", {"membership": membership, **content}, target)
    try:
        check_auth(event, fork.event)
    except NotAuthorised:
        return True
    return False


def allows(fork: Fork, sender: str, target: str, membership: str, **content: Any) -> bool:
    return not rejects(fork, sender, target, membership, **content)


# --- The shape of the event ----------------------------------------------------------------------


def test_a_membership_event_needs_a_state_key(room: SimulatedRoom) -> None:
    assert rejects(room.set_up(), BOB, None, "join")


@pytest.mark.parametrize("membership", ["dancing", "", None, 1, ["join"], {"join": "join"}])
def test_an_unknown_membership_is_rejected(room: SimulatedRoom, membership: object) -> None:
    assert rejects(room.set_up(), BOB, BOB, membership)


def test_a_membership_event_without_membership_is_rejected(room: SimulatedRoom) -> None:
    fork = room.set_up()
    event = fork.build(BOB, "m.room.member", {}, BOB)
    with pytest.raises(NotAuthorised):
        check_auth(event, fork.event)


# --- Joins -----------------------------------------------------------------------------------------


def test_the_creator_joins_right_after_the_create_event(room: SimulatedRoom) -> None:
    assert allows(room.trunk, ALICE, ALICE, "join")


def test_nobody_else_joins_right_after_the_create_event(room: SimulatedRoom) -> None:
    assert rejects(room.trunk, BOB, BOB, "join")


def test_an_additional_creator_does_not_join_right_after_the_create_event() -> None:
    assert rejects(SimulatedRoom("12", additional_creators=[BOB]).trunk, BOB, BOB, "join")


def test_the_creator_cannot_come_back_by_right_of_creation(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, join_rule="invite")
    fork.leave(ALICE)
    assert rejects(fork, ALICE, ALICE, "join")


@pytest.mark.parametrize("version", ALL_VERSIONS[:10])
def test_before_version_11_the_creator_is_whom_the_content_names(version: str) -> None:
    room = SimulatedRoom(version)
    room.create.content["creator"] = BOB
    assert allows(room.trunk, BOB, BOB, "join")
    assert rejects(room.trunk, ALICE, ALICE, "join")


def test_from_version_11_on_the_creator_is_the_sender_whatever_the_content_names() -> None:
    room = SimulatedRoom("11")
    room.create.content["creator"] = BOB
    assert allows(room.trunk, ALICE, ALICE, "join")
    assert rejects(room.trunk, BOB, BOB, "join")


def test_anybody_joins_a_public_room(room: SimulatedRoom) -> None:
    assert allows(room.set_up(), BOB, BOB, "join")


def test_nobody_joins_somebody_else(room: SimulatedRoom) -> None:
    assert rejects(room.set_up(CAROL), CAROL, BOB, "join")
    assert rejects(room.trunk, ALICE, BOB, "join")


def test_a_banned_user_cannot_join_a_public_room(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    fork.ban(ALICE, BOB)
    assert rejects(fork, BOB, BOB, "join")


def test_only_invited_users_join_an_invite_only_room(room: SimulatedRoom) -> None:
    fork = room.set_up(join_rule="invite")
    assert rejects(fork, BOB, BOB, "join")
    fork.invite(ALICE, BOB)
    assert allows(fork, BOB, BOB, "join")


def test_a_room_without_join_rules_is_invite_only(room: SimulatedRoom) -> None:
    fork = room.trunk
    fork.join(ALICE)
    assert rejects(fork, BOB, BOB, "join")
    fork.invite(ALICE, BOB)
    assert allows(fork, BOB, BOB, "join")


def test_a_member_may_change_their_profile_in_an_invite_only_room(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, join_rule="invite")
    assert allows(fork, BOB, BOB, "join", displayname="Robert")


@pytest.mark.parametrize("rule", ["private", "nonsense", None, 7, ["public"]])
def test_under_an_unknown_join_rule_nobody_joins(room: SimulatedRoom, rule: Any) -> None:
    fork = room.set_up(BOB)
    fork.invite(ALICE, CAROL)
    fork.join_rule(ALICE, rule)
    assert rejects(fork, CAROL, CAROL, "join")


@pytest.mark.parametrize(
    ("rule", "versions"),
    [("knock", KNOCKING), ("restricted", RESTRICTED), ("knock_restricted", KNOCK_RESTRICTED)],
)
def test_a_join_rule_admits_invited_users_in_the_versions_that_know_it(
    room: SimulatedRoom, rule: str, versions: list[str]
) -> None:
    fork = room.set_up(join_rule="invite")
    fork.invite(ALICE, BOB)
    fork.join_rule(ALICE, rule)
    assert allows(fork, BOB, BOB, "join") == (room.version.id in versions)
    assert rejects(fork, CAROL, CAROL, "join")


# --- Restricted joins ------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["restricted", "knock_restricted"])
@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_a_member_who_may_invite_lets_users_join_a_restricted_room(version: str, rule: str) -> None:
    fork = SimulatedRoom(version).set_up(CAROL, join_rule=rule)
    known = RESTRICTED if rule == "restricted" else KNOCK_RESTRICTED
    assert allows(fork, BOB, BOB, "join", join_authorised_via_users_server=CAROL) == (version in known)


@pytest.mark.parametrize("version", RESTRICTED)
def test_the_authorising_user_must_be_able_to_invite(version: str) -> None:
    fork = SimulatedRoom(version).set_up(CAROL, join_rule="restricted", invite=50)
    assert rejects(fork, BOB, BOB, "join", join_authorised_via_users_server=CAROL)
    assert allows(fork, BOB, BOB, "join", join_authorised_via_users_server=ALICE)


@pytest.mark.parametrize("version", RESTRICTED)
@pytest.mark.parametrize("authorising", [None, 1, "", "nonsense", DAVE, BOB, [ALICE]])
def test_the_authorising_user_must_be_in_the_room(version: str, authorising: object) -> None:
    fork = SimulatedRoom(version).set_up(join_rule="restricted")
    assert rejects(fork, BOB, BOB, "join", join_authorised_via_users_server=authorising)


@pytest.mark.parametrize("version", RESTRICTED)
def test_an_authorising_user_who_was_banned_authorises_nobody(version: str) -> None:
    fork = SimulatedRoom(version).set_up(CAROL, join_rule="restricted")
    fork.ban(ALICE, CAROL)
    assert rejects(fork, BOB, BOB, "join", join_authorised_via_users_server=CAROL)


@pytest.mark.parametrize("version", RESTRICTED)
def test_no_authorisation_brings_a_banned_user_back(version: str) -> None:
    fork = SimulatedRoom(version).set_up(BOB, join_rule="restricted")
    fork.ban(ALICE, BOB)
    assert rejects(fork, BOB, BOB, "join", join_authorised_via_users_server=ALICE)


# --- Invites ---------------------------------------------------------------------------------------


def test_a_member_invites_by_default(room: SimulatedRoom) -> None:
    assert allows(room.set_up(BOB), BOB, CAROL, "invite")


def test_who_is_not_in_the_room_cannot_invite(room: SimulatedRoom) -> None:
    assert rejects(room.set_up(), BOB, CAROL, "invite")


def test_members_and_banned_users_cannot_be_invited(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL)
    assert rejects(fork, ALICE, BOB, "invite")
    fork.ban(ALICE, CAROL)
    assert rejects(fork, ALICE, CAROL, "invite")


def test_the_invite_level_keeps_members_from_inviting(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, invite=50, users={CAROL: 50})
    assert rejects(fork, BOB, DAVE, "invite")
    assert allows(fork, CAROL, DAVE, "invite")


# --- Leaves, kicks and bans ------------------------------------------------------------------------


def test_members_and_invited_users_may_leave(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    fork.invite(ALICE, CAROL)
    assert allows(fork, BOB, BOB, "leave")
    assert allows(fork, CAROL, CAROL, "leave")


def test_who_is_not_in_the_room_or_banned_cannot_leave(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL)
    fork.ban(ALICE, BOB)
    fork.leave(CAROL)
    for user in (BOB, CAROL, DAVE):
        assert rejects(fork, user, user, "leave")


def test_kicking_needs_the_kick_level(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 49})
    assert rejects(fork, BOB, CAROL, "leave")
    fork.set_users(ALICE, bob=50)
    assert allows(fork, BOB, CAROL, "leave")


def test_nobody_kicks_or_bans_their_equals(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 60, CAROL: 60})
    assert rejects(fork, BOB, CAROL, "leave")
    assert rejects(fork, BOB, CAROL, "ban")
    fork.set_users(ALICE, carol=59)
    assert allows(fork, BOB, CAROL, "leave")
    assert allows(fork, BOB, CAROL, "ban")


def test_who_has_left_cannot_kick_ban_or_invite(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 60})
    fork.leave(BOB)
    assert rejects(fork, BOB, CAROL, "leave")
    assert rejects(fork, BOB, CAROL, "ban")
    assert rejects(fork, BOB, DAVE, "invite")


def test_lifting_a_ban_needs_both_the_kick_and_the_ban_level(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 60}, ban=70, kick=50)
    fork.ban(ALICE, CAROL)
    assert rejects(fork, BOB, CAROL, "leave")
    fork.set_levels(ALICE, ban=60)
    assert allows(fork, BOB, CAROL, "leave")


def test_banning_needs_the_ban_level(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 60}, ban=61)
    assert rejects(fork, BOB, CAROL, "ban")
    assert allows(fork, ALICE, CAROL, "ban")


def test_users_who_never_came_can_be_banned(room: SimulatedRoom) -> None:
    assert allows(room.set_up(), ALICE, MALLORY, "ban")


# --- Knocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "versions"), [("knock", KNOCKING), ("knock_restricted", KNOCK_RESTRICTED), ("public", [])]
)
def test_users_knock_where_join_rule_and_version_let_them(
    room: SimulatedRoom, rule: str, versions: list[str]
) -> None:
    fork = room.set_up(join_rule=rule)
    assert allows(fork, BOB, BOB, "knock") == (room.version.id in versions)


@pytest.mark.parametrize("version", KNOCKING)
def test_nobody_knocks_for_somebody_else(version: str) -> None:
    fork = SimulatedRoom(version).set_up(join_rule="knock")
    assert rejects(fork, ALICE, BOB, "knock")
    assert rejects(fork, CAROL, BOB, "knock")


@pytest.mark.parametrize("version", KNOCKING)
def test_banned_invited_and_joined_users_do_not_knock(version: str) -> None:
    fork = SimulatedRoom(version).set_up(BOB, join_rule="knock")
    fork.invite(ALICE, CAROL)
    fork.ban(ALICE, DAVE)
    for user in (BOB, CAROL, DAVE):
        assert rejects(fork, user, user, "knock")


@pytest.mark.parametrize("version", KNOCKING)
def test_a_knock_can_be_taken_back_answered_and_refused(version: str) -> None:
    fork = SimulatedRoom(version).set_up(join_rule="knock")
    fork.member(BOB, BOB, "knock")
    assert allows(fork, BOB, BOB, "leave")
    assert allows(fork, BOB, BOB, "knock")
    assert allows(fork, ALICE, BOB, "invite")
    assert allows(fork, ALICE, BOB, "leave")
    assert rejects(fork, BOB, BOB, "join")


# --- Creators of version 12 ------------------------------------------------------------------------


def test_nobody_kicks_or_bans_a_creator() -> None:
    room = SimulatedRoom("12", additional_creators=[BOB])
    fork = room.set_up(BOB, CAROL, users={CAROL: 2**53 - 1})
    for target in (ALICE, BOB):
        assert rejects(fork, CAROL, target, "leave")
        assert rejects(fork, CAROL, target, "ban")
    assert rejects(fork, ALICE, BOB, "ban")


def test_every_creator_stands_above_every_level() -> None:
    room = SimulatedRoom("12", additional_creators=[BOB])
    fork = room.set_up(BOB, CAROL, users={CAROL: 2**53 - 1}, ban=2**53 - 1)
    assert allows(fork, ALICE, CAROL, "ban")
    assert allows(fork, BOB, CAROL, "ban")


def test_before_version_12_additional_creators_have_no_power() -> None:
    room = SimulatedRoom("11", additional_creators=[BOB])
    fork = room.set_up(BOB, CAROL)
    assert rejects(fork, BOB, CAROL, "ban")
