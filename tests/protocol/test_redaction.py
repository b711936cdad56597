"""Redaction: what each room version keeps, and that it changes neither the ID nor the signatures of
an event.
"""

from typing import Any

import pytest
from hypothesis import given

from homeserver.protocol.events.event import Event
from homeserver.protocol.events.hashes import check_content_hash, event_id_of
from homeserver.protocol.events.redaction import redact, redacted
from homeserver.protocol.events.signing import verify_event
from homeserver.protocol.room_versions import RoomVersion, room_version
from tests.protocol.pdus import ALL_VERSIONS, KEY, SERVER, event_of, events

ALWAYS = {"type", "room_id", "sender", "state_key", "content", "hashes", "signatures", "depth"} | {
    "prev_events",
    "auth_events",
    "origin_server_ts",
    "event_id",
}
UP_TO_TEN = {"origin", "membership", "prev_state"}

LEVELS = {"ban", "events", "events_default", "kick", "redact", "state_default", "users"} | {"users_default"}


def numbers(first: int, last: int) -> range:
    return range(first, last + 1)


CONTENT_RULES: list[tuple[str, range, set[str]]] = [
    ("m.room.member", numbers(1, 8), {"membership"}),
    ("m.room.member", numbers(9, 12), {"membership", "join_authorised_via_users_server"}),
    ("m.room.create", numbers(1, 10), {"creator"}),
    ("m.room.join_rules", numbers(1, 7), {"join_rule"}),
    ("m.room.join_rules", numbers(8, 12), {"join_rule", "allow"}),
    ("m.room.power_levels", numbers(1, 10), LEVELS),
    ("m.room.power_levels", numbers(11, 12), LEVELS | {"invite"}),
    ("m.room.aliases", numbers(1, 5), {"aliases"}),
    ("m.room.aliases", numbers(6, 12), set()),
    ("m.room.history_visibility", numbers(1, 12), {"history_visibility"}),
    ("m.room.redaction", numbers(1, 10), set()),
    ("m.room.redaction", numbers(11, 12), {"redacts"}),
    ("m.room.message", numbers(1, 12), set()),
    ("m.room.name", numbers(1, 12), set()),
]
ALL_KEYS = {key for _, _, kept in CONTENT_RULES for key in kept} | {"body", "notifications", "name"}


@pytest.mark.parametrize(
    ("type", "number", "kept"),
    [(type, number, kept) for type, versions, kept in CONTENT_RULES for number in versions],
)
def test_content_keeps_what_the_version_names(type: str, number: int, kept: set[str]) -> None:
    pdu = {"type": type, "content": dict.fromkeys(ALL_KEYS, 1)}
    assert redact(pdu, room_version(str(number)))["content"].keys() == kept


@pytest.mark.parametrize("number", [11, 12])
def test_create_events_keep_all_content_since_version_11(number: int) -> None:
    content = {"anything": {"at": "all"}, "room_version": str(number)}
    pdu = {"type": "m.room.create", "content": content}
    assert redact(pdu, room_version(str(number)))["content"] == content


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)
def test_top_level_keeps_what_the_version_names(version: RoomVersion) -> None:
    others = {"unsigned", "redacts", "age_ts", "prev_content", "replaces_state", "org.example"}
    pdu: dict[str, Any] = dict.fromkeys(ALWAYS | UP_TO_TEN | others, 1)
    pdu |= {"type": "m.room.message", "content": {}}
    kept = ALWAYS if version.id in ("11", "12") else ALWAYS | UP_TO_TEN
    assert redact(pdu, version).keys() == kept


@pytest.mark.parametrize(
    ("invite", "kept"),
    [
        ({"signed": {"mxid": "@b:c"}, "display_name": "b"}, {"signed": {"mxid": "@b:c"}}),
        ({"display_name": "b"}, {}),
        ({"signed": None}, {"signed": None}),
    ],
)
def test_signed_part_of_third_party_invites_stays_since_version_11(invite: Any, kept: dict[str, Any]) -> None:
    pdu = {"type": "m.room.member", "content": {"third_party_invite": invite}}
    assert redact(pdu, room_version("10"))["content"] == {}
    for version in ("11", "12"):
        assert redact(pdu, room_version(version))["content"] == {"third_party_invite": kept}


@pytest.mark.parametrize("invite", ["text", 1, None, ["signed"]])
def test_third_party_invites_that_are_no_objects_go(invite: Any) -> None:
    pdu = {"type": "m.room.member", "content": {"third_party_invite": invite}}
    assert redact(pdu, room_version("12"))["content"] == {}


@given(events())
def test_redaction_keeps_id_and_signatures(event: Event) -> None:
    after = redacted(event)
    assert after.event_id == event.event_id == event_id_of(after.pdu, event.version)
    assert after.room_id == event.room_id
    verify_event(after, SERVER, {KEY.key_id: KEY.verify_key})


@given(events())
def test_redaction_happens_once(event: Event) -> None:
    once = redact(event.pdu, event.version)
    assert redact(once, event.version) == once


@given(events())
def test_redaction_leaves_the_original_alone(event: Event) -> None:
    before = event.encoded()
    redacted(event)
    assert Event(event.pdu, event.version, event.event_id).encoded() == before


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)
def test_a_redacted_event_no_longer_matches_its_content_hash(version: RoomVersion) -> None:
    event = event_of(version, content={"body": "gone"})
    assert check_content_hash(event)
    assert not check_content_hash(redacted(event))
