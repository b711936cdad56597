"""Events as clients see them."""

from typing import Any

import pytest
from hypothesis import given

from homeserver.protocol.canonical_json import decode
from homeserver.protocol.events.client_format import (
    client_event,
    client_event_bytes,
    stripped_from_untrusted,
    stripped_state,
    with_unsigned,
    without_room_id,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.room_versions import RoomVersion, room_version
from tests.protocol.pdus import ALL_VERSIONS, POWER, event_of, events

by_version = pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)


@given(events())
def test_clients_see_the_keys_of_the_client_format_and_no_others(event: Event) -> None:
    shown = client_event(event)
    expected = {"content", "event_id", "origin_server_ts", "room_id", "sender", "type"}
    if event.state_key is not None:
        expected |= {"state_key"}
    if event.redacts is not None:
        expected |= {"redacts"}
    assert shown.keys() == expected
    assert decode(client_event_bytes(event)) == shown


@by_version
def test_the_target_of_a_redaction_is_shown_in_both_places(version: RoomVersion) -> None:
    event = event_of(version, type="m.room.redaction", content={"reason": "spam"}, redacts=POWER)
    shown = client_event(event)
    assert shown["redacts"] == POWER
    assert shown["content"] == {"reason": "spam", "redacts": POWER}
    assert event.content.get("reason") == "spam"


@by_version
def test_redacts_of_the_wrong_place_is_not_shown_as_a_target(version: RoomVersion) -> None:
    wrong_content = {} if version.redacts_in_content else {"redacts": "$other"}
    event = event_of(version, type="m.room.redaction", content=wrong_content)
    assert "redacts" not in client_event(event)
    message = event_of(version, content={"redacts": "$other"})
    assert "redacts" not in client_event(message)


def test_a_create_event_of_version_12_is_shown_with_its_room() -> None:
    create = event_of(room_version("12"), type="m.room.create", content={}, state_key="", room_id=None)
    assert client_event(create)["room_id"] == create.room_id


def test_big_integers_of_early_versions_are_shown_exactly() -> None:
    event = event_of(room_version("1"), content={"a": 10**30, "b": 1.5})
    assert decode(client_event_bytes(event))["content"] == {"a": 10**30, "b": 1.5}


def test_unsigned_is_spliced_in() -> None:
    event = event_of(room_version("12"))
    spliced = with_unsigned(client_event_bytes(event), b'{"age":5}')
    assert decode(spliced) == client_event(event) | {"unsigned": {"age": 5}}


def test_events_under_their_room_do_not_repeat_it() -> None:
    shown = client_event(event_of(room_version("12")))
    assert without_room_id(shown).keys() == shown.keys() - {"room_id"}


def test_stripped_state_has_four_keys() -> None:
    event = event_of(room_version("12"), type="m.room.name", content={"name": "x"}, state_key="")
    assert stripped_state(event) == {
        "type": "m.room.name",
        "state_key": "",
        "sender": "@alice:example.org",
        "content": {"name": "x"},
    }


NAME = {"type": "m.room.name", "state_key": "", "sender": "@a:b", "content": {"name": "x"}}


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ([NAME], [NAME]),
        ([NAME | {"event_id": "$x", "signatures": {}, "unsigned": {}}], [NAME]),
        ([NAME | {"content": None}, NAME | {"sender": 1}, {}, None, "x", 1, NAME], [NAME]),
        ([{key: NAME[key] for key in NAME if key != "state_key"}], []),
        ({"a": NAME}, []),
        (None, []),
        ("x", []),
    ],
)
def test_state_of_others_is_pruned_to_stripped_state(state: Any, shown: Any) -> None:
    assert stripped_from_untrusted(state) == shown
