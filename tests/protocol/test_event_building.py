"""Making events: form, limits and IDs in each room version, and what we take from templates of
other servers.
"""

from typing import Any

import pytest
from hypothesis import given

from homeserver.protocol.errors import BadJson, EventTooLarge, InvalidEvent
from homeserver.protocol.events.building import proto_event, references_of_template
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.hashes import check_content_hash, event_id_of
from homeserver.protocol.events.parsing import MAX_PDU_BYTES, parse_pdu
from homeserver.protocol.events.signing import verify_event
from homeserver.protocol.identifiers import EventID
from homeserver.protocol.room_versions import EventFormat, RoomVersion, room_version
from tests.protocol.pdus import ALICE, ALL_VERSIONS, CREATE, KEY, POWER, ROOM, SERVER, event_of, events

by_version = pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)

MALFORMED_VALUES: dict[str, list[Any]] = {
    "depth": [None, -1, 2**63, 1.0, True],
    "prev_events": [None, {}, [1], [None], ["x"], [[]], ["$a"] * 21],
    "auth_events": [None, {}, [[1, {}]], [["$a"]], ["$a"] * 11, [{}]],
}
MALFORMED = [{name: value} for name, values in MALFORMED_VALUES.items() for value in values]


@given(events())
def test_built_events_are_complete(event: Event) -> None:
    assert check_content_hash(event)
    verify_event(event, SERVER, {KEY.key_id: KEY.verify_key})
    assert event_id_of(event.pdu, event.version) == event.event_id


@by_version
def test_event_ids_have_the_form_of_the_version(version: RoomVersion) -> None:
    event_id = event_of(version).event_id
    if version.id in ("1", "2"):
        assert event_id == "$event:example.org"
    else:
        assert len(event_id) == 44
    if int(version.id) >= 4:
        assert not set(event_id) & set("+/")


def test_version_3_ids_use_the_standard_alphabet() -> None:
    ids = "".join(event_of(room_version("3"), depth=depth).event_id for depth in range(50))
    assert "+" in ids
    assert "/" in ids
    assert not set(ids) & set("-_")


@by_version
def test_references_have_the_form_of_the_version(version: RoomVersion) -> None:
    event = event_of(version, reference_hashes={CREATE: "hash"})
    hashed = version.event_format is EventFormat.HASHED_REFERENCES
    expected = [[CREATE, {"sha256": "hash"}], [POWER, {}]] if hashed else [CREATE, POWER]
    assert event.pdu["auth_events"] == expected
    assert event.auth_event_ids == [CREATE, POWER]
    assert event.prev_event_ids == [CREATE]


@by_version
def test_the_target_of_a_redaction_is_put_where_the_version_wants_it(version: RoomVersion) -> None:
    content = {"reason": "spam"}
    event = event_of(version, type="m.room.redaction", content=content, redacts=POWER)
    in_content = int(version.id) >= 11
    assert (event.content.get("redacts") == POWER) is in_content
    assert (event.pdu.get("redacts") == POWER) is not in_content
    assert event.redacts == POWER
    assert content == {"reason": "spam"}


def test_a_create_event_of_version_12_names_its_room() -> None:
    create = event_of(
        room_version("12"), type="m.room.create", content={"room_version": "12"}, state_key="", room_id=None
    )
    assert "room_id" not in create.pdu
    assert create.room_id == "!" + create.event_id[1:]
    assert parse_pdu(create.pdu, create.version).room_id == create.room_id


@by_version
def test_an_event_over_the_limit_is_too_large(version: RoomVersion) -> None:
    room = MAX_PDU_BYTES - len(event_of(version, content={"body": ""}).encoded())
    assert len(event_of(version, content={"body": "x" * room}).encoded()) == MAX_PDU_BYTES
    with pytest.raises(EventTooLarge):
        event_of(version, content={"body": "x" * (room + 1)})


@pytest.mark.parametrize("name", ["type", "state_key"])
@pytest.mark.parametrize(
    ("value", "error"),
    [("x" * 256, EventTooLarge), ("é" * 128, EventTooLarge), ("a\0b", BadJson)],
)
def test_keys_have_their_limits(name: str, value: str, error: type[Exception]) -> None:
    keys: dict[str, Any] = {name: value}
    with pytest.raises(error):
        event_of(room_version("12"), **keys)


def test_content_that_has_no_canonical_form_is_refused() -> None:
    with pytest.raises(BadJson):
        event_of(room_version("12"), content={"body": "\ud800"})


@by_version
def test_depth_stays_at_its_limit(version: RoomVersion) -> None:
    event = event_of(version, depth=2**64)
    assert event.depth == version.max_depth
    assert parse_pdu(event.pdu, version).depth == version.max_depth


@by_version
def test_a_template_gives_back_its_references(version: RoomVersion) -> None:
    template = proto_event(
        version,
        room_id=ROOM,
        sender=ALICE,
        type="m.room.member",
        content={"membership": "join"},
        state_key=ALICE,
        prev_events=[CREATE],
        auth_events=[CREATE, POWER],
        depth=3,
        origin_server_ts=1,
        reference_hashes={CREATE: "hash"},
    )
    assert "hashes" not in template
    assert "signatures" not in template
    references = references_of_template(template, version)
    assert references.prev_events == [CREATE]
    assert references.auth_events == [CREATE, POWER]
    assert references.depth == 3
    hashed = version.event_format is EventFormat.HASHED_REFERENCES
    assert references.reference_hashes == ({CREATE: "hash"} if hashed else {})


@by_version
@pytest.mark.parametrize("change", MALFORMED)
def test_a_malformed_template_is_refused(version: RoomVersion, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        references_of_template(event_of(version).pdu | change, version)


@pytest.mark.parametrize("template", [None, [], "x", 1])
def test_a_template_that_is_no_object_is_refused(template: Any) -> None:
    with pytest.raises(InvalidEvent):
        references_of_template(template, room_version("12"))


def test_the_server_named_signs() -> None:
    event = event_of(room_version("12"))
    assert event.pdu["signatures"].keys() == {SERVER}
    assert event.pdu["signatures"][SERVER].keys() == {KEY.key_id}


def test_events_show_what_they_are_and_not_what_they_say() -> None:
    event = event_of(room_version("1"), state_key="", content={"body": "secret"})
    assert repr(event) == (
        "<Event $event:example.org m.room.message '' by @alice:example.org in !room:example.org>"
    )


def test_stored_events_are_encoded_once() -> None:
    event = event_of(room_version("12"))
    stored = Event.from_trusted(event.pdu, event.version, EventID(event.event_id), event.encoded())
    assert stored.encoded() is event.encoded()
    assert Event.from_trusted(event.pdu, event.version, event.event_id).encoded() == event.encoded()
