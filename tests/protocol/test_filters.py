"""Filters: what they let through, and that no pattern is expensive."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.errors import BadJson
from homeserver.protocol.filters import (
    EventFilter,
    Filter,
    RoomEventFilter,
    matches_pattern,
    read_filter,
    read_room_event_filter,
    select_fields,
    split_path,
)
from homeserver.protocol.room_versions import room_version
from tests.protocol.pdus import event_of, json_values

V12 = room_version("12")


@given(st.text("ab*.", max_size=8), st.text("ab.", max_size=10))
def test_patterns_match_as_the_regular_expression_would(pattern: str, text: str) -> None:
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    assert matches_pattern(pattern, text) == bool(re.fullmatch(expression, text))


def test_a_pattern_of_many_stars_is_cheap() -> None:
    assert not matches_pattern("*a" * 20_000 + "*b", "a" * 40_000)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, True),
        ({"types": ["m.room.message"]}, True),
        ({"types": ["m.room.*"]}, True),
        ({"types": ["m.room.name"]}, False),
        ({"types": []}, False),
        ({"types": ["m.*"], "not_types": ["m.room.m*"]}, False),
        ({"senders": ["@alice:example.org"]}, True),
        ({"senders": ["@bob:example.org"]}, False),
        ({"senders": []}, False),
        ({"senders": ["@alice:example.org"], "not_senders": ["@alice:example.org"]}, False),
        ({"rooms": ["!room:example.org"]}, True),
        ({"rooms": ["!other:example.org"]}, False),
        ({"not_rooms": ["!room:example.org"]}, False),
        ({"contains_url": True}, True),
        ({"contains_url": False}, False),
        ({"org.matrix.msc3874.rel_types": ["m.thread"]}, True),
        ({"org.matrix.msc3874.rel_types": ["m.replace"]}, False),
        ({"org.matrix.msc3874.not_rel_types": ["m.thread"]}, False),
        ({"lazy_load_members": True, "limit": 10}, True),
    ],
)
def test_an_event_is_shown_or_not(fields: dict[str, Any], shown: bool) -> None:
    content = {"url": "mxc://a/b", "m.relates_to": {"rel_type": "m.thread", "event_id": "$x"}}
    chosen = read_room_event_filter(fields)
    assert chosen.matches_event(event_of(V12, content=content)) is shown
    assert shown or not chosen.is_open


@pytest.mark.parametrize("relates_to", [None, [], "x", {}, {"rel_type": []}])
def test_malformed_relations_are_none(relates_to: Any) -> None:
    event = event_of(V12, content={"m.relates_to": relates_to})
    assert read_room_event_filter({"org.matrix.msc3874.not_rel_types": ["a"]}).matches_event(event)
    assert not read_room_event_filter({"org.matrix.msc3874.rel_types": ["a"]}).matches_event(event)


def test_a_filter_that_restricts_nothing_is_open() -> None:
    assert RoomEventFilter().is_open
    assert read_room_event_filter({"limit": 5, "lazy_load_members": True}).is_open
    assert not read_room_event_filter({"types": ["*"]}).is_open


def test_things_without_a_sender_are_matched_by_type() -> None:
    assert EventFilter(types=("m.direct",)).matches("m.direct")
    assert not EventFilter(types=("m.direct",)).matches("m.push_rules")


def test_a_whole_filter_is_read_and_written() -> None:
    given_filter = {
        "event_fields": ["type", "content.body"],
        "event_format": "federation",
        "presence": {"not_types": ["*"]},
        "room": {
            "rooms": ["!a:b"],
            "include_leave": True,
            "timeline": {"limit": 10, "types": ["m.room.message"]},
            "state": {"lazy_load_members": True},
        },
    }
    chosen = read_filter(given_filter)
    assert msgspec.json.decode(msgspec.json.encode(chosen)) == given_filter
    assert chosen.room.matches_room("!a:b")
    assert not chosen.room.matches_room("!c:d")
    assert chosen.room.timeline.limit == 10


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {"event_format": "xml"},
        {"event_fields": "type"},
        {"room": []},
        {"room": {"rooms": ["room"]}},
        {"room": {"timeline": {"limit": "10"}}},
        {"room": {"timeline": {"limit": -1}}},
        {"room": {"timeline": {"limit": 1.5}}},
        {"room": {"state": {"senders": ["alice"]}}},
        {"presence": {"types": [1]}},
    ],
)
def test_malformed_filters_are_refused(value: Any) -> None:
    with pytest.raises(BadJson):
        read_filter(value)


@given(json_values(st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["*", "@a"])))
def test_any_value_is_a_filter_or_refused(value: Any) -> None:
    for candidate in (value, {"room": {"timeline": value, "state": {"types": value}}}):
        try:
            chosen = read_filter(candidate)
        except BadJson:
            continue
        assert isinstance(chosen, Filter)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("content.body", ["content", "body"]),
        (r"content.m\.relates_to", ["content", "m.relates_to"]),
        (r"content.m\\foo", ["content", r"m\foo"]),
        (r"a\x.b", [r"a\x", "b"]),
        ("", [""]),
        ("a.", ["a", ""]),
        ("a\\", ["a\\"]),
    ],
)
def test_dot_separated_paths(path: str, names: list[str]) -> None:
    assert split_path(path) == names


@pytest.mark.parametrize(
    ("fields", "selected"),
    [
        (("type",), {"type": "t"}),
        (("content.body",), {"content": {"body": "b"}}),
        (("content", "content.body"), {"content": {"body": "b", "m.x": {"y": 1, "z": 2}}}),
        (("content.body", r"content.m\.x.y"), {"content": {"body": "b", "m.x": {"y": 1}}}),
        (("content.body.nothing", "nothing", "nothing.at.all"), {"content": {}}),
        ((), {}),
    ],
)
def test_fields_are_selected(fields: tuple[str, ...], selected: dict[str, Any]) -> None:
    event = {"type": "t", "content": {"body": "b", "m.x": {"y": 1, "z": 2}}}
    assert select_fields(event, fields) == selected
    assert event == {"type": "t", "content": {"body": "b", "m.x": {"y": 1, "z": 2}}}
