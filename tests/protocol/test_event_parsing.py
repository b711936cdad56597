"""Parsing of PDUs: what is an event of its room version, and that nothing hostile does worse than
being refused.
"""

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import decode
from homeserver.protocol.errors import InvalidEvent
from homeserver.protocol.events.client_format import client_event_bytes
from homeserver.protocol.events.content import PowerLevels, relation_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import MAX_PDU_BYTES, parse_pdu
from homeserver.protocol.events.signing import required_signers, signing_key_ids
from homeserver.protocol.receipt_checks import wanted_keys, whole_or_redacted
from homeserver.protocol.room_versions import EventFormat, RoomVersion, room_version
from tests.protocol.pdus import (
    ALL_VERSIONS,
    CREATE,
    EVENT_TYPES,
    event_of,
    events,
    json_values,
    texts,
    versions,
)

by_version = pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)

WRONG_STRINGS: list[Any] = [None, 1, True, [], {}, ["m.room.message"], "x" * 256, "é" * 256, "a\0b"]
WRONG_OBJECTS: list[Any] = [None, 1, "x", [], [{}], True]

hostile_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.sampled_from([2**53, -(2**53), 2**63, 2**64, 10**30, 0, -1])
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["\ud800", "\0", "$", "@a:b", "!a", "m.room.create", "$a", "x" * 300])
)
hostile_values = json_values(hostile_leaves)


@given(events())
def test_events_that_we_build_are_parsed_to_the_same(event: Event) -> None:
    parsed = parse_pdu(decode(event.encoded()), event.version)
    assert parsed.event_id == event.event_id
    assert parsed.encoded() == event.encoded()
    assert (parsed.room_id, parsed.key, parsed.depth) == (event.room_id, event.key, event.depth)


@by_version
def test_unsigned_is_dropped_and_the_original_left_alone(version: RoomVersion) -> None:
    pdu = event_of(version).pdu | {"unsigned": {"age": 5, "invite_room_state": []}}
    before = copy.deepcopy(pdu)
    event = parse_pdu(pdu, version)
    assert "unsigned" not in event.pdu
    assert pdu == before


@by_version
@pytest.mark.parametrize(
    "name",
    [
        "type",
        "sender",
        "room_id",
        "content",
        "depth",
        "origin_server_ts",
        "hashes",
        "signatures",
        "prev_events",
        "auth_events",
    ],
)
def test_required_keys_are_required(version: RoomVersion, name: str) -> None:
    pdu = event_of(version).pdu
    with pytest.raises(InvalidEvent):
        parse_pdu({key: value for key, value in pdu.items() if key != name}, version)


@by_version
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("type", WRONG_STRINGS),
        ("state_key", WRONG_STRINGS),
        ("sender", [*WRONG_STRINGS, "", "alice", "@alice", "@a:b c", "!a:b"]),
        ("room_id", [*WRONG_STRINGS, "", "!", "room", "$a"]),
        ("content", WRONG_OBJECTS),
        ("hashes", [*WRONG_OBJECTS, {}, {"sha256": 1}, {"md5": "x"}]),
        ("signatures", [*WRONG_OBJECTS, {"a": 1}, {"a": {"ed25519:1": 1}}, {"a": ["x"]}]),
        ("depth", [None, "1", 1.0, True, -1, 2**63, {}, []]),
        ("origin_server_ts", [None, "1", 1.5, True, 2**63, -(2**63), {}, []]),
        ("prev_events", [None, {}, "x", 1, [1], [None], ["x"], [["x"]], [[]], [{}], [["$a", 1]]]),
        ("auth_events", [None, {}, "x", 1, [1], [None], ["x"], [["x"]], [[]], [{}], [["$a"]]]),
    ],
)
def test_wrong_types_are_refused(version: RoomVersion, name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(InvalidEvent):
            parse_pdu(event_of(version).pdu | {name: value}, version)


@by_version
@pytest.mark.parametrize("name", ["type", "state_key"])
def test_keys_of_old_rooms_may_have_as_many_code_points_as_later_ones_have_bytes(
    version: RoomVersion, name: str
) -> None:
    pdu = event_of(version).pdu | {name: "💥" * 64}
    if version.keys_limited_in_bytes:
        with pytest.raises(InvalidEvent):
            parse_pdu(pdu, version)
    else:
        assert parse_pdu(pdu, version).pdu[name] == "💥" * 64


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("event_id", [None, 1, "", "event", "$", "$" + "a" * 255, ["$a"]])
def test_early_versions_need_an_event_id(version: str, event_id: Any) -> None:
    with pytest.raises(InvalidEvent):
        parse_pdu(event_of(room_version(version)).pdu | {"event_id": event_id}, room_version(version))


@by_version
@pytest.mark.parametrize(("name", "limit"), [("prev_events", 20), ("auth_events", 10)])
def test_references_have_their_limit(version: RoomVersion, name: str, limit: int) -> None:
    hashed = version.event_format is EventFormat.HASHED_REFERENCES
    references = [[f"$e{i}", {}] if hashed else f"$e{i}" for i in range(limit + 1)]
    event = parse_pdu(event_of(version).pdu | {name: references[:limit]}, version)
    ids = event.prev_event_ids if name == "prev_events" else event.auth_event_ids
    assert ids == [f"$e{i}" for i in range(limit)]
    with pytest.raises(InvalidEvent):
        parse_pdu(event_of(version).pdu | {name: references}, version)
    old = parse_pdu(event_of(version).pdu | {name: references}, version, limit_references=False)
    assert len(old.pdu[name]) == limit + 1


@by_version
def test_the_whole_event_has_its_limit_without_unsigned(version: RoomVersion) -> None:
    event = event_of(version, content={"body": ""})
    room = MAX_PDU_BYTES - len(event.encoded())
    unsigned = {"unsigned": {"padding": "x" * 1000}}
    largest = event.pdu | {"content": {"body": "x" * room}} | unsigned
    assert len(parse_pdu(largest, version).encoded()) == MAX_PDU_BYTES
    with pytest.raises(InvalidEvent):
        parse_pdu(event.pdu | {"content": {"body": "x" * (room + 1)}}, version)
    with pytest.raises(InvalidEvent):
        parse_pdu(event.pdu | {"content": {"body": "é" * (room // 2 + 1)}}, version)


@by_version
@pytest.mark.parametrize("value", [2**53, -(2**53), 1.5, 1e10, 10**30])
def test_canonical_json_is_enforced_since_version_6(version: RoomVersion, value: Any) -> None:
    pdu = event_of(version).pdu | {"content": {"a": [value]}}
    if version.strict_canonical_json:
        with pytest.raises(InvalidEvent):
            parse_pdu(pdu, version)
    else:
        assert decode(parse_pdu(pdu, version).encoded())["content"] == {"a": [value]}


@by_version
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\ud800": 1}, b"x", {1}])
def test_what_no_json_has_is_refused_in_every_version(version: RoomVersion, value: Any) -> None:
    with pytest.raises(InvalidEvent):
        parse_pdu(event_of(version).pdu | {"content": {"a": value}}, version)


@by_version
@pytest.mark.parametrize("levels", [239, 300, 5_000, 50_000])
def test_deep_nesting_is_refused_in_every_version(version: RoomVersion, levels: int) -> None:
    deep: Any = []
    for _ in range(levels):
        deep = [deep]
    with pytest.raises(InvalidEvent):
        parse_pdu(event_of(version).pdu | {"content": {"a": deep}}, version)


def test_only_the_create_event_of_version_12_may_lack_a_room_id() -> None:
    version = room_version("12")
    create = event_of(version, type="m.room.create", content={}, state_key="", room_id=None)
    parsed = parse_pdu(create.pdu, version)
    assert parsed.room_id == "!" + parsed.event_id[1:]
    without = {key: value for key, value in event_of(version).pdu.items() if key != "room_id"}
    with pytest.raises(InvalidEvent):
        parse_pdu(without, version)
    for change in ({"room_id": None}, {"state_key": "x"}):
        with pytest.raises(InvalidEvent):
            parse_pdu(create.pdu | change, version)


def test_a_foreign_event_id_in_the_pdu_does_not_become_the_events() -> None:
    event = event_of(room_version("12"))
    parsed = parse_pdu(event.pdu | {"event_id": CREATE}, event.version)
    assert parsed.event_id not in (CREATE, event.event_id)


@given(hostile_values, versions)
def test_any_value_is_an_event_or_refused(value: Any, version: RoomVersion) -> None:
    _use_if_parsed(value, version)


@given(events(), st.data())
def test_an_event_with_anything_in_any_place_is_an_event_or_refused(
    event: Event, data: st.DataObject
) -> None:
    pdu = copy.deepcopy(event.pdu)
    holders: list[Any] = [
        pdu,
        pdu["content"],
        pdu["hashes"],
        pdu["signatures"],
        pdu["prev_events"],
        pdu["auth_events"],
    ]
    for _ in range(data.draw(st.integers(1, 3))):
        holder = data.draw(st.sampled_from(holders))
        if isinstance(holder, list):
            holder.insert(0, data.draw(hostile_values))
        else:
            keys = st.sampled_from(sorted(holder)) if holder else st.just("a")
            holder[data.draw(keys | st.just("event_id") | texts)] = data.draw(hostile_values)
    _use_if_parsed(pdu, event.version)


@given(st.sampled_from(EVENT_TYPES), st.dictionaries(texts, hostile_values, max_size=5), versions)
def test_hostile_content_is_read_without_harm(
    type: str, content: dict[str, Any], version: RoomVersion
) -> None:
    _use_if_parsed(event_of(version, type=type).pdu | {"content": content}, version)


def _use_if_parsed(value: Any, version: RoomVersion) -> None:
    """Parse the value and, if it is an event, do with it what is done with every event."""
    try:
        event = parse_pdu(value, version)
    except InvalidEvent:
        return
    assert whole_or_redacted(event).event_id == event.event_id
    assert len(event.encoded()) <= MAX_PDU_BYTES
    assert parse_pdu(decode(event.encoded()), version).event_id == event.event_id
    assert isinstance(event.prev_event_ids + event.auth_event_ids, list)
    assert decode(client_event_bytes(event))["event_id"] == event.event_id
    for server in event.pdu["signatures"]:
        signing_key_ids(event.pdu, server)
    levels = PowerLevels.of(version, event, event)
    assert levels.user("@a:b") >= levels.user("@a:b")
    assert levels.required("m.room.message", False) == levels.required("m.room.message", False)
    assert (event.redacts, event.membership, relation_of(event)) is not None
    with suppress(InvalidEvent):
        assert wanted_keys(event).keys() == required_signers(event)
