from typing import Any

import pytest

from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.errors import Forbidden
from homeserver.protocol.room_versions import ROOM_VERSIONS
from tests.protocol.room_simulation import ALICE, BOB, CAROL, MALLORY, Fork, SimulatedRoom

ALL_VERSIONS = sorted(ROOM_VERSIONS, key=int)
SPECIAL_ALIASES = ALL_VERSIONS[:5]
JUDGES_REDACTIONS = ALL_VERSIONS[:2]


@pytest.fixture(params=ALL_VERSIONS)
def room(request: pytest.FixtureRequest) -> SimulatedRoom:
    return SimulatedRoom(request.param)


def allows(fork: Fork, sender: str, event_type: str, state_key: str | None = None, **fields: Any) -> bool:
    event = fork.build(sender, event_type, fields.pop("content", {}), state_key)
    event.pdu.update(fields)
    try:
        check_auth(event, fork.event)
    except NotAuthorised:
        return False
    return True


def test_a_rejection_is_a_forbidden_error_that_says_why(room: SimulatedRoom) -> None:
    fork = room.set_up()
    with pytest.raises(Forbidden, match="The sender is not in the room"):
        fork.send(BOB, "m.room.message", {})


def test_members_send_messages_and_others_do_not(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    fork.invite(ALICE, CAROL)
    assert allows(fork, BOB, "m.room.message")
    assert not allows(fork, CAROL, "m.room.message")
    fork.leave(BOB)
    assert not allows(fork, BOB, "m.room.message")


def test_state_takes_the_state_default_and_messages_the_events_default(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 50, CAROL: 20}, events_default=20)
    assert allows(fork, BOB, "m.room.topic", "")
    assert not allows(fork, CAROL, "m.room.topic", "")
    assert allows(fork, CAROL, "m.room.topic")
    fork.set_users(ALICE, carol=19)
    assert not allows(fork, CAROL, "m.room.message")


def test_a_level_for_a_type_counts_for_state_and_for_messages(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, events={"m.room.topic": 0, "m.room.message": 10})
    assert allows(fork, BOB, "m.room.topic", "")
    assert not allows(fork, BOB, "m.room.message")


def test_without_power_levels_state_takes_50(room: SimulatedRoom) -> None:
    fork = room.trunk
    fork.join(ALICE)
    fork.join_rule(ALICE, "public")
    fork.join(BOB)
    assert allows(fork, ALICE, "m.room.topic", "")
    assert not allows(fork, BOB, "m.room.topic", "")
    assert allows(fork, BOB, "m.room.message")


def test_state_named_after_a_user_is_for_that_user(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 50})
    assert allows(fork, BOB, "org.example.mood", BOB)
    assert not allows(fork, BOB, "org.example.mood", ALICE)
    assert not allows(fork, ALICE, "org.example.mood", BOB)
    assert not allows(fork, ALICE, "org.example.mood", "@")


def test_in_a_room_that_does_not_federate_other_servers_do_nothing(room: SimulatedRoom) -> None:
    closed = SimulatedRoom(room.version.id, **{"m.federate": False})
    closed.set_up("@anna:a.example")
    assert not allows(closed.trunk, BOB, "m.room.member", BOB, content={"membership": "join"})
    assert allows(closed.trunk, "@anna:a.example", "m.room.message")


@pytest.mark.parametrize("federate", [True, None, "false", 0])
def test_only_false_keeps_a_room_from_federating(room: SimulatedRoom, federate: object) -> None:
    odd = SimulatedRoom(room.version.id, **{"m.federate": federate})
    assert allows(odd.set_up(), BOB, "m.room.member", BOB, content={"membership": "join"})


def test_third_party_invites_take_the_invite_level_alone(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, CAROL, users={BOB: 40, CAROL: 39}, invite=40, state_default=100)
    assert allows(fork, BOB, "m.room.third_party_invite", "token")
    assert not allows(fork, CAROL, "m.room.third_party_invite", "token")
    assert not allows(fork, MALLORY, "m.room.third_party_invite", "token")


# --- Aliases -------------------------------------------------------------------------------------------


def test_before_version_6_a_server_sets_its_own_aliases_member_or_not(room: SimulatedRoom) -> None:
    fork = room.set_up()
    special = room.version.id in SPECIAL_ALIASES
    assert allows(fork, MALLORY, "m.room.aliases", "evil.example") == special


def test_before_version_6_nobody_sets_the_aliases_of_another_server(room: SimulatedRoom) -> None:
    fork = room.set_up()
    special = room.version.id in SPECIAL_ALIASES
    assert allows(fork, ALICE, "m.room.aliases", "b.example") != special
    assert allows(fork, ALICE, "m.room.aliases") != special


# --- Redactions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_in_versions_1_and_2_redacting_takes_the_level_or_the_same_server(version: str) -> None:
    fork = SimulatedRoom(version).set_up(BOB, CAROL, users={CAROL: 50})
    judged = version in JUDGES_REDACTIONS
    assert allows(fork, BOB, "m.room.redaction", redacts="$other:b.example")
    assert allows(fork, CAROL, "m.room.redaction", redacts="$other:b.example")
    for target in ("$other:a.example", "$other", None):
        assert allows(fork, BOB, "m.room.redaction", redacts=target) != judged


def test_a_redaction_takes_the_level_of_its_type(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB, users={BOB: 50}, events={"m.room.redaction": 51})
    assert not allows(fork, BOB, "m.room.redaction", redacts="$other:b.example")
