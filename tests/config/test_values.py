from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.config import RoomVersionName
from config.values import (
    check_server_name,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from homeserver.protocol.identifiers import is_server_name
from homeserver.protocol.room_versions import ROOM_VERSIONS


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("256MB", 256_000_000),
        ("1.5GiB", 1_610_612_736),
        ("3 TB", 3 * 10**12),
    ],
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "duration"),
    [("0s", 0), ("250ms", 250), ("1.5s", 1500), ("5m", 300_000), ("2h", 7_200_000), ("7d", 604_800_000)],
)
def test_durations_have_units(text: str, duration: int) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "5", "MB", "-5MB", "5mb", "5 M B", "0.5B", "1e3MB", "٥MB"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=10**15))
def test_what_is_written_is_read_again(number: int) -> None:
    assert parse_size(format_size(number)) == number
    assert parse_duration(format_duration(number)) == number


@given(st.text(alphabet="ab1.-:[]_%*é", max_size=20))
@example("[::1]:8448")
@example("1.2.3.4:0")
@example("a.example:65536")
@example("[::1%lo]")
@example("a" * 256)
@example("a:08448")
@example(":8448")
@example("[1.2.3.4]")
def test_a_name_that_a_server_may_bear_is_one_to_the_protocol_too(text: str) -> None:
    assert is_server_name(text) or not accepted(text)


def test_the_room_versions_to_choose_from_are_those_that_there_are() -> None:
    assert set(get_args(RoomVersionName)) == set(ROOM_VERSIONS)


def accepted(text: str) -> bool:
    try:
        check_server_name(text)
    except ValueError:
        return False
    return True
