"""The checks on receipt, as one story each."""

import pytest

from homeserver.protocol.errors import InvalidSignature
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.signing import sign_pdu
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.receipt_checks import check_signatures, wanted_keys, whole_or_redacted
from homeserver.protocol.room_versions import RoomVersion, room_version
from homeserver.protocol.signing_keys import SigningKey
from tests.protocol.pdus import ALL_VERSIONS, KEY, SERVER, event_of

OUR_KEYS = {SERVER: {KEY.key_id: KEY.verify_key}}
by_version = pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)


@by_version
def test_a_proper_event_passes_as_it_is(version: RoomVersion) -> None:
    event = parse_pdu(event_of(version).pdu, version)
    assert wanted_keys(event) == {SERVER: {KEY.key_id}}
    check_signatures(event, OUR_KEYS)
    assert whole_or_redacted(event) is event


@by_version
def test_an_event_with_other_content_than_was_hashed_is_redacted(version: RoomVersion) -> None:
    original = event_of(version, content={"body": "hello"})
    event = parse_pdu(original.pdu | {"content": {"body": "forged"}, "org.example": 1}, version)
    check_signatures(event, OUR_KEYS)
    kept = whole_or_redacted(event)
    assert kept.content == {}
    assert "org.example" not in kept.pdu
    assert kept.event_id == original.event_id
    check_signatures(kept, OUR_KEYS)


def test_an_event_nobody_signed_fails() -> None:
    event = event_of(room_version("12"))
    unsigned = Event({**event.pdu, "signatures": {}}, event.version, event.event_id)
    assert wanted_keys(unsigned) == {SERVER: frozenset()}
    with pytest.raises(InvalidSignature):
        check_signatures(unsigned, OUR_KEYS)


def test_the_server_that_let_a_member_in_must_have_signed() -> None:
    version = room_version("12")
    third, third_key = ServerName("third.example"), SigningKey("x", b"\3" * 32)
    content = {"membership": "join", "join_authorised_via_users_server": "@bob:third.example"}
    event = event_of(version, type="m.room.member", content=content, state_key="@alice:example.org")
    keys = {**OUR_KEYS, third: {third_key.key_id: third_key.verify_key}}
    with pytest.raises(InvalidSignature):
        check_signatures(event, keys)
    both = parse_pdu(sign_pdu(event.pdu, version, third, third_key), version)
    assert both.event_id == event.event_id
    check_signatures(both, keys)


@pytest.mark.parametrize("sha256", ["", "A", "not base64!", "A" * 43])
def test_a_hash_that_is_none_makes_the_event_redacted(sha256: str) -> None:
    event = event_of(room_version("12"))
    changed = parse_pdu(event.pdu | {"hashes": {"sha256": sha256}}, event.version)
    assert whole_or_redacted(changed).content == {}
