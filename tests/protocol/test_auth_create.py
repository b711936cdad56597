from typing import Any

import pytest

from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID
from homeserver.protocol.room_versions import ROOM_VERSIONS, room_version
from tests.protocol.room_simulation import ALICE, BOB, SimulatedRoom

ALL_VERSIONS = sorted(ROOM_VERSIONS, key=int)
NAMES_ITS_CREATOR = ALL_VERSIONS[:10]
HAS_ROOM_ID = ALL_VERSIONS[:11]


def create_event(version: str, content: dict[str, Any], **fields: Any) -> Event:
    pdu = {
        "type": "m.room.create",
        "sender": ALICE,
        "state_key": "",
        "content": content,
        "depth": 1,
        "origin_server_ts": 1,
        "prev_events": [],
        "auth_events": [],
        **({} if room_version(version).room_id_is_create_hash else {"room_id": "!room:a.example"}),
        **fields,
    }
    return Event.from_trusted(pdu, room_version(version), EventID("$create:a.example"))


def is_allowed(event: Event) -> bool:
    try:
        check_auth(event, lambda event_type, state_key: None)
    except NotAuthorised:
        return False
    return True


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_a_room_begins_with_its_create_event(version: str) -> None:
    assert is_allowed(create_event(version, {"room_version": version, "creator": ALICE}))


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_a_create_event_after_another_event_is_rejected(version: str) -> None:
    room = SimulatedRoom(version)
    again = room.trunk.build(ALICE, "m.room.create", {"room_version": version, "creator": ALICE}, "")
    assert not is_allowed(again)


@pytest.mark.parametrize("version", NAMES_ITS_CREATOR)
def test_a_create_event_without_creator_is_rejected_before_version_11(version: str) -> None:
    assert not is_allowed(create_event(version, {"room_version": version}))


@pytest.mark.parametrize("version", ["11", "12"])
def test_the_creator_property_is_not_needed_from_version_11_on(version: str) -> None:
    assert is_allowed(create_event(version, {"room_version": version}))


@pytest.mark.parametrize("version", HAS_ROOM_ID)
def test_the_room_id_must_be_of_the_creators_server(version: str) -> None:
    content = {"room_version": version, "creator": ALICE}
    assert not is_allowed(create_event(version, content, room_id="!room:b.example"))


def test_in_version_12_a_create_event_with_a_room_id_is_rejected() -> None:
    assert not is_allowed(create_event("12", {"room_version": "12"}, room_id="!room:a.example"))


@pytest.mark.parametrize("version", ALL_VERSIONS)
@pytest.mark.parametrize("named", ["nonsense", 1, None, ["1"], {}])
def test_an_unrecognised_room_version_is_rejected(version: str, named: object) -> None:
    assert not is_allowed(create_event(version, {"room_version": named, "creator": ALICE}))


def test_a_missing_room_version_means_version_1() -> None:
    assert is_allowed(create_event("1", {"creator": ALICE}))


@pytest.mark.parametrize("creators", [None, BOB, {BOB: 1}, [1], ["bob"], ["@bob"], [BOB, None], ["@bob:b c"]])
def test_additional_creators_must_be_a_list_of_user_ids(creators: object) -> None:
    content = {"room_version": "12", "additional_creators": creators}
    assert not is_allowed(create_event("12", content))


@pytest.mark.parametrize("creators", [[], [BOB], [BOB, ALICE, BOB]])
def test_additional_creators_may_be_any_user_ids(creators: list[str]) -> None:
    assert is_allowed(create_event("12", {"room_version": "12", "additional_creators": creators}))


def test_before_version_12_additional_creators_mean_nothing() -> None:
    content = {"room_version": "11", "additional_creators": "nonsense"}
    assert is_allowed(create_event("11", content))


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_without_a_create_event_nothing_is_allowed(version: str) -> None:
    room = SimulatedRoom(version)
    fork = room.trunk.fork()
    join = fork.build(ALICE, "m.room.member", {"membership": "join"}, ALICE)
    del fork.state["m.room.create", ""]
    with pytest.raises(NotAuthorised, match="no create event"):
        check_auth(join, fork.event)


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_the_create_event_of_another_room_makes_no_room(version: str) -> None:
    room, other = SimulatedRoom(version), SimulatedRoom(version, BOB)
    if room.version.room_id_is_create_hash:
        other.add({**other.create.pdu, "sender": BOB})
    join = room.trunk.build(ALICE, "m.room.member", {"membership": "join"}, ALICE)
    foreign = other.events[max(other.events)]
    with pytest.raises(NotAuthorised, match="no create event"):
        check_auth(join, lambda event_type, state_key: foreign if event_type == "m.room.create" else None)
