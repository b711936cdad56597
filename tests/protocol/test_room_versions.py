"""The rules of each room version, against the tables of the specification, and that they are rules
and not numbers.
"""

import re
from pathlib import Path

import pytest

import homeserver.protocol
from homeserver.protocol.errors import UnsupportedRoomVersion
from homeserver.protocol.room_versions import (
    DEFAULT_ROOM_VERSION,
    ROOM_VERSIONS,
    EventFormat,
    EventIDFormat,
    StateResolution,
    room_version,
)

SINCE = {
    "enforces_key_validity": 5,
    "strict_canonical_json": 6,
    "checks_notification_levels": 6,
    "knocking": 7,
    "restricted_joins": 8,
    "integer_power_levels": 10,
    "knock_restricted": 10,
    "redacts_in_content": 11,
    "privileged_creators": 12,
    "room_id_is_create_hash": 12,
}
"""The first room version that has each rule."""

UNTIL = {
    "event_id_server_signs": 2,
    "redactions_authorised_by_level": 2,
    "special_aliases_auth": 5,
    "creator_in_content": 10,
    "create_in_auth_events": 11,
}
"""The last room version that has each rule."""


def test_all_stable_versions_are_there_and_the_default_is_that_of_the_specification() -> None:
    assert list(ROOM_VERSIONS) == [str(number) for number in range(1, 13)]
    assert all(version.id == id for id, version in ROOM_VERSIONS.items())
    assert DEFAULT_ROOM_VERSION == "12"


@pytest.mark.parametrize("number", range(1, 13))
def test_rules_begin_and_end_with_their_versions(number: int) -> None:
    version = room_version(str(number))
    for rule, first in SINCE.items():
        assert getattr(version, rule) is (number >= first), rule
    for rule, last in UNTIL.items():
        assert getattr(version, rule) is (number <= last), rule


@pytest.mark.parametrize("number", range(1, 13))
def test_formats_and_state_resolution(number: int) -> None:
    version = room_version(str(number))
    hashed = EventFormat.HASHED_REFERENCES if number <= 2 else EventFormat.PLAIN_REFERENCES
    assert version.event_format is hashed
    ids = {1: EventIDFormat.CHOSEN_BY_SENDER, 2: EventIDFormat.CHOSEN_BY_SENDER}
    ids[3] = EventIDFormat.STANDARD_BASE64_HASH
    assert version.event_id_format is ids.get(number, EventIDFormat.URL_SAFE_BASE64_HASH)
    algorithms = {1: StateResolution.V1, 12: StateResolution.V2_1}
    assert version.state_resolution is algorithms.get(number, StateResolution.V2)
    assert version.max_depth == (2**63 - 1 if number < 6 else 2**53 - 1)


@pytest.mark.parametrize("unknown", ["", "0", "13", "1.0", "org.matrix.hydra.11", "\u0661"])
def test_unknown_versions_are_refused(unknown: str) -> None:
    with pytest.raises(UnsupportedRoomVersion):
        room_version(unknown)


def test_no_code_of_the_protocol_compares_versions() -> None:
    folder = Path(homeserver.protocol.__file__).parent
    comparison = re.compile(r"version(\.id)?\s*(<|>|==|!=|\bin\b)[ =(\[{]*[\"'0-9]")
    for path in folder.rglob("*.py"):
        assert not comparison.search(path.read_text()), path
