"""Lenient reading of content: what is well formed is read, everything else is the default."""

import math
from typing import Any

import pytest

from homeserver.protocol.events.content import (
    PowerLevels,
    allowed_rooms_of,
    creator_of,
    creators_of,
    federates,
    guests_can_join,
    history_visibility_of,
    join_rule_of,
    predecessor_of,
    read_level,
    relation_of,
    replacement_of,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.room_versions import RoomVersion, room_version
from tests.protocol.pdus import ALICE, ALL_VERSIONS, event_of

by_version = pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)
V12 = room_version("12")
BROKEN: list[Any] = [None, 1, [], {}, "nonsense"]
BOB = "@bob:example.org"


def state(type: str, content: dict[str, Any], version: RoomVersion = V12) -> Event:
    return event_of(version, type=type, content=content, state_key="")


def levels_of(content: dict[str, Any], version: RoomVersion = V12) -> PowerLevels:
    create = state("m.room.create", {"creator": "@creator:example.org"}, version)
    return PowerLevels.of(version, state("m.room.power_levels", content, version), create)


@by_version
def test_power_levels_have_their_defaults(version: RoomVersion) -> None:
    levels = levels_of({}, version)
    assert (levels.users_default, levels.events_default, levels.state_default) == (0, 0, 50)
    assert (levels.invite, levels.kick, levels.ban, levels.redact) == (0, 50, 50, 50)
    assert levels.notification("room") == 50
    assert levels.user(BOB) == 0
    assert (levels.required("m.x", False), levels.required("m.x", True)) == (0, 50)


@by_version
def test_power_levels_that_are_set_are_read(version: RoomVersion) -> None:
    levels = levels_of(
        {
            "users_default": 1,
            "events_default": 2,
            "state_default": 3,
            "invite": 4,
            "kick": 5,
            "ban": 6,
            "redact": 7,
            "notifications": {"room": 8},
            "users": {BOB: 9},
            "events": {"m.room.name": 10},
        },
        version,
    )
    assert (levels.users_default, levels.events_default, levels.state_default) == (1, 2, 3)
    assert (levels.invite, levels.kick, levels.ban, levels.redact) == (4, 5, 6, 7)
    assert levels.notification("room") == 8
    assert (levels.user(BOB), levels.user("@carol:example.org")) == (9, 1)
    assert levels.listed_users() == {BOB: 9}
    assert levels.required("m.room.name", False) == levels.required("m.room.name", True) == 10


@by_version
def test_without_power_levels_the_creator_has_100_or_infinity(version: RoomVersion) -> None:
    create = state("m.room.create", {"creator": BOB}, version)
    levels = PowerLevels.of(version, None, create)
    creator, other = (BOB, ALICE) if int(version.id) <= 10 else (ALICE, BOB)
    assert levels.user(creator) == (math.inf if version.id == "12" else 100)
    assert levels.user(other) == 0


def test_privileged_creators_stand_above_what_is_listed() -> None:
    create = state("m.room.create", {"additional_creators": [BOB, 1, None]})
    levels = PowerLevels.of(V12, state("m.room.power_levels", {"users": {BOB: 5}}), create)
    assert levels.creators == {ALICE, BOB}
    assert levels.user(ALICE) == levels.user(BOB) == math.inf
    assert levels.user("@carol:example.org") == 0


@pytest.mark.parametrize("version", ALL_VERSIONS[:11], ids=lambda version: version.id)
def test_additional_creators_mean_nothing_before_version_12(version: RoomVersion) -> None:
    create = state("m.room.create", {"creator": ALICE, "additional_creators": [BOB]}, version)
    assert creators_of(create) == {ALICE}
    levels = PowerLevels.of(version, state("m.room.power_levels", {}, version), create)
    assert levels.creators == frozenset()
    assert levels.user(ALICE) == levels.user(BOB) == 0


@pytest.mark.parametrize("broken", [None, 1, "x", [], True, {"users": 1}, {"users": {BOB: "high"}}])
def test_malformed_power_levels_are_the_defaults(broken: Any) -> None:
    content = broken if isinstance(broken, dict) else {"users": broken, "events": broken}
    content |= {"ban": {}, "users_default": [1]}
    levels = levels_of(content)
    assert (levels.user(BOB), levels.required("m.x", True), levels.ban) == (0, 50, 50)


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("100", 100),
        ("000100", 100),
        ("+100", 100),
        ("-100", -100),
        (" 100 ", 100),
        (" 00100 ", 100),
        (" +100 ", 100),
        (" -100 ", -100),
        (50.57, 50),
        (-50.57, -50),
        (5.114698e4, 51146),
        ("", None),
        ("50.0", None),
        ("1_000", None),
        ("0x10", None),
        ("+ 1", None),
        ("\u0661", None),
        ("9" * 5000, None),
        (math.inf, None),
        (math.nan, None),
        (True, None),
        (None, None),
        ([50], None),
        ({}, None),
    ],
)
@by_version
def test_levels_may_be_strings_and_floats_before_version_10(
    version: RoomVersion, value: Any, level: int | None
) -> None:
    assert read_level(value, version) == (level if int(version.id) < 10 else None)


@by_version
@pytest.mark.parametrize("level", [0, 100, -5, 2**53 - 1])
def test_levels_may_be_integers_in_every_version(version: RoomVersion, level: int) -> None:
    assert read_level(level, version) == level


def test_the_creator_is_named_by_the_content_before_version_11() -> None:
    assert creator_of(state("m.room.create", {"creator": BOB}, room_version("10"))) == BOB
    assert creator_of(state("m.room.create", {"creator": 1}, room_version("10"))) is None
    assert creator_of(state("m.room.create", {"creator": BOB}, room_version("11"))) == ALICE


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), (False, False), (None, True), ("false", True), (0, True)]
)
def test_only_false_keeps_others_out(value: Any, expected: bool) -> None:
    assert federates(state("m.room.create", {"m.federate": value})) is expected
    assert federates(state("m.room.create", {}))


def test_successions() -> None:
    predecessor = {"room_id": "!old:example.org", "event_id": "$last"}
    create = state("m.room.create", {"predecessor": predecessor})
    before = predecessor_of(create)
    assert before is not None
    assert (before.room_id, before.event_id) == ("!old:example.org", "$last")
    assert replacement_of(state("m.room.tombstone", {"replacement_room": "!new"})) == "!new"
    assert replacement_of(state("m.room.tombstone", {"replacement_room": "new"})) is None
    assert replacement_of(None) is None


@pytest.mark.parametrize("value", [None, 1, "!old", [], {}, {"room_id": 1}, {"room_id": "old"}])
def test_malformed_predecessors_are_none(value: Any) -> None:
    assert predecessor_of(state("m.room.create", {"predecessor": value})) is None
    assert predecessor_of(None) is None


def test_a_predecessor_may_lack_its_event() -> None:
    for event_id in (None, 1, "x"):
        content = {"predecessor": {"room_id": "!old", "event_id": event_id}}
        before = predecessor_of(state("m.room.create", content))
        assert before is not None
        assert before.event_id is None


@pytest.mark.parametrize(("value", "expected"), [("join", "join"), (1, None), (None, None)])
def test_memberships(value: Any, expected: str | None) -> None:
    member = event_of(V12, type="m.room.member", content={"membership": value}, state_key=BOB)
    assert member.membership == expected
    assert state("m.room.name", {"membership": value}).membership is None


def test_defaults_of_rules_that_are_not_set_or_not_understood() -> None:
    assert join_rule_of(None) == "invite"
    assert join_rule_of(state("m.room.join_rules", {"join_rule": 1})) == "invite"
    assert join_rule_of(state("m.room.join_rules", {"join_rule": "public"})) == "public"
    assert history_visibility_of(None) == "shared"
    for broken in BROKEN:
        event = state("m.room.history_visibility", {"history_visibility": broken})
        assert history_visibility_of(event) == "shared"
    joined = state("m.room.history_visibility", {"history_visibility": "joined"})
    assert history_visibility_of(joined) == "joined"
    assert not guests_can_join(None)
    assert not guests_can_join(state("m.room.guest_access", {"guest_access": "forbidden"}))
    assert guests_can_join(state("m.room.guest_access", {"guest_access": "can_join"}))


def test_rooms_that_a_restricted_join_rule_allows() -> None:
    allow = [
        {"type": "m.room_membership", "room_id": "!a:b"},
        {"type": "org.example", "room_id": "!c:d"},
        {"type": "m.room_membership", "room_id": 1},
        {"type": "m.room_membership"},
        {"room_id": "!e:f"},
        "!g:h",
        None,
    ]
    assert allowed_rooms_of(state("m.room.join_rules", {"allow": allow})) == ["!a:b"]
    assert allowed_rooms_of(state("m.room.join_rules", {"allow": {}})) == []
    assert allowed_rooms_of(None) == []


def test_relations() -> None:
    relates_to = {"event_id": "$x", "rel_type": "m.annotation", "key": "+"}
    relation = relation_of(event_of(V12, content={"m.relates_to": relates_to}))
    assert relation is not None
    assert (relation.event_id, relation.rel_type, relation.key) == ("$x", "m.annotation", "+")
    for broken in [*BROKEN, {"event_id": "$x"}, {"event_id": 1, "rel_type": "a"}]:
        assert relation_of(event_of(V12, content={"m.relates_to": broken})) is None
