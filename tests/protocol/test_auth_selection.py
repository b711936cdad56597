from typing import Any

import pytest

from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.auth_rules.selection import auth_types, check_auth_events_shape
from homeserver.protocol.events.event import Event
from homeserver.protocol.room_versions import ROOM_VERSIONS, room_version
from tests.protocol.room_simulation import ALICE, BOB, CAROL, Fork, SimulatedRoom

ALL_VERSIONS = sorted(ROOM_VERSIONS, key=int)
CREATE = ("m.room.create", "")
LEVELS = ("m.room.power_levels", "")
JOIN_RULES = ("m.room.join_rules", "")


def member(user: str) -> tuple[str, str]:
    return ("m.room.member", user)


def selected(
    version: str, event_type: str, state_key: str | None = None, **content: Any
) -> list[tuple[str, str]]:
    return auth_types(event_type, ALICE, state_key, content, room_version(version))


@pytest.fixture(params=ALL_VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def with_create(version: str, *keys: tuple[str, str]) -> list[tuple[str, str]]:
    return list(keys) if version == "12" else [CREATE, *keys]


# --- Selection -----------------------------------------------------------------------------------------


def test_the_create_event_selects_nothing(version: str) -> None:
    assert selected(version, "m.room.create", "") == []


def test_a_message_selects_levels_and_sender_and_before_version_12_the_create_event(version: str) -> None:
    assert selected(version, "m.room.message") == with_create(version, LEVELS, member(ALICE))


@pytest.mark.parametrize("membership", ["invite", "knock"])
def test_invites_and_knocks_select_the_target_and_the_join_rules(version: str, membership: str) -> None:
    expected = with_create(version, LEVELS, member(ALICE), member(BOB), JOIN_RULES)
    assert selected(version, "m.room.member", BOB, membership=membership) == expected


@pytest.mark.parametrize("membership", ["leave", "ban", None, ["join"]])
def test_other_memberships_select_the_target_alone(version: str, membership: object) -> None:
    expected = with_create(version, LEVELS, member(ALICE), member(BOB))
    assert selected(version, "m.room.member", BOB, membership=membership) == expected


def test_a_join_selects_its_sender_once(version: str) -> None:
    expected = with_create(version, LEVELS, member(ALICE), JOIN_RULES)
    assert selected(version, "m.room.member", ALICE, membership="join") == expected


def test_a_restricted_join_selects_the_authorising_user_in_versions_that_know_it(version: str) -> None:
    expected = with_create(version, LEVELS, member(ALICE), JOIN_RULES)
    if int(version) >= 8:
        expected.append(member(BOB))
    content = {"membership": "join", "join_authorised_via_users_server": BOB}
    assert selected(version, "m.room.member", ALICE, **content) == expected


@pytest.mark.parametrize("authorising", [ALICE, None, 5, [BOB]])
def test_nothing_more_is_selected_for_an_authorising_user_that_is_none(
    version: str, authorising: object
) -> None:
    expected = with_create(version, LEVELS, member(ALICE), JOIN_RULES)
    content = {"membership": "join", "join_authorised_via_users_server": authorising}
    assert selected(version, "m.room.member", ALICE, **content) == expected


def test_a_redeemed_third_party_invite_is_selected_by_its_token(version: str) -> None:
    keys = selected(
        version, "m.room.member", BOB, membership="invite", third_party_invite={"signed": {"token": "abc"}}
    )
    assert ("m.room.third_party_invite", "abc") in keys


@pytest.mark.parametrize("invite", [None, "abc", {}, {"signed": "abc"}, {"signed": {"token": 5}}])
def test_a_malformed_third_party_invite_selects_nothing_more(version: str, invite: object) -> None:
    keys = selected(version, "m.room.member", BOB, membership="invite", third_party_invite=invite)
    assert keys == with_create(version, LEVELS, member(ALICE), member(BOB), JOIN_RULES)


# --- Shape ---------------------------------------------------------------------------------------------


@pytest.fixture
def room(version: str) -> SimulatedRoom:
    return SimulatedRoom(version)


def auth_events_of(fork: Fork, event: Event) -> list[Event]:
    return [fork.room.events[auth_id] for auth_id in event.auth_event_ids]


def test_the_events_that_the_selection_gives_are_accepted(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    event = fork.build(ALICE, "m.room.member", {"membership": "ban"}, BOB)
    check_auth_events_shape(event, auth_events_of(fork, event))


def test_fewer_events_than_selected_are_accepted(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    event = fork.build(BOB, "m.room.message", {})
    auth_events = [auth for auth in auth_events_of(fork, event) if auth.type != "m.room.power_levels"]
    check_auth_events_shape(event, auth_events)


def test_two_events_of_one_key_are_rejected(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    older = fork.event("m.room.power_levels")
    assert older is not None
    fork.set_levels(ALICE, ban=60)
    event = fork.build(BOB, "m.room.message", {})
    with pytest.raises(NotAuthorised, match="same type and state key"):
        check_auth_events_shape(event, [*auth_events_of(fork, event), older])


@pytest.mark.parametrize("unexpected", ["m.room.topic", "m.room.join_rules", "m.room.member"])
def test_an_event_that_is_not_selected_is_rejected(room: SimulatedRoom, unexpected: str) -> None:
    fork = room.set_up(BOB, CAROL)
    fork.topic(ALICE, "topic")
    event = fork.build(BOB, "m.room.message", {})
    extra = fork.event(unexpected, CAROL if unexpected == "m.room.member" else "")
    assert extra is not None
    with pytest.raises(NotAuthorised, match="not one that may authorise"):
        check_auth_events_shape(event, [*auth_events_of(fork, event), extra])


def test_a_message_among_the_auth_events_is_rejected(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    message = fork.send(BOB, "m.room.message", {})
    event = fork.build(BOB, "m.room.message", {})
    with pytest.raises(NotAuthorised, match="not one that may authorise"):
        check_auth_events_shape(event, [*auth_events_of(fork, event), message])


def test_a_rejected_auth_event_is_rejected(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    event = fork.build(BOB, "m.room.message", {})
    auth_events = auth_events_of(fork, event)
    with pytest.raises(NotAuthorised, match="was rejected"):
        check_auth_events_shape(event, auth_events, rejected={auth_events[-1].event_id})


def test_an_auth_event_of_another_room_is_rejected(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    event = fork.build(BOB, "m.room.message", {})
    foreign = Event.from_trusted(
        {**auth_events_of(fork, event)[-1].pdu, "room_id": "!other:a.example"}, room.version, event.event_id
    )
    with pytest.raises(NotAuthorised, match="another room"):
        check_auth_events_shape(event, [*auth_events_of(fork, event)[:-1], foreign])


def test_the_create_event_must_be_there_before_version_12_and_must_not_in_it(room: SimulatedRoom) -> None:
    fork = room.set_up(BOB)
    event = fork.build(BOB, "m.room.message", {})
    others = [auth for auth in auth_events_of(fork, event) if auth.type != "m.room.create"]
    good, bad = ([room.create, *others], others)
    if room.version.id == "12":
        good, bad = bad, good
    check_auth_events_shape(event, good)
    with pytest.raises(NotAuthorised):
        check_auth_events_shape(event, bad)


def test_nothing_is_asked_of_a_create_event(room: SimulatedRoom) -> None:
    check_auth_events_shape(room.create, [])
