"""Signatures: the specification's test vectors, and that nothing signed can be changed."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json

from homeserver.protocol.base64 import decode_base64, encode_base64
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.errors import InvalidEvent, InvalidParam, InvalidSignature
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.hashes import content_hash, event_id_of
from homeserver.protocol.events.redaction import redact
from homeserver.protocol.events.signing import (
    SigningKey,
    VerifyKey,
    required_signers,
    sign_json,
    sign_pdu,
    signing_key_ids,
    verify_event,
    verify_json,
    with_signature,
)
from homeserver.protocol.identifiers import EventID, UserID
from homeserver.protocol.room_versions import RoomVersion, room_version
from homeserver.protocol.signing_keys import parse_key_file
from tests.protocol.pdus import ALL_VERSIONS, KEY, SERVER, canonical_objects, event_of, events

# https://spec.matrix.org/v1.19/appendices/#cryptographic-test-vectors
SPEC_KEY = SigningKey("1", decode_base64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"))
OUR_KEYS = {KEY.key_id: KEY.verify_key}


@pytest.mark.parametrize(
    ("given_json", "signature"),
    [
        (
            {},
            "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ",
        ),
        (
            {"one": 1, "two": "Two"},
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
        ),
    ],
)
def test_json_signing_vectors(given_json: dict[str, Any], signature: str) -> None:
    signed = sign_json(given_json, "domain", SPEC_KEY)
    assert signed == {**given_json, "signatures": {"domain": {"ed25519:1": signature}}}
    verify_json(signed, "domain", {"ed25519:1": SPEC_KEY.verify_key})


@pytest.mark.parametrize(
    ("pdu", "content_hash_text", "signature"),
    [
        (
            {
                "room_id": "!x:domain",
                "sender": "@a:domain",
                "origin": "domain",
                "origin_server_ts": 1000000,
                "signatures": {},
                "hashes": {},
                "type": "X",
                "content": {},
                "prev_events": [],
                "auth_events": [],
                "depth": 3,
                "unsigned": {"age_ts": 1000000},
            },
            "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
            "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
        ),
        (
            {
                "content": {"body": "Here is the message content"},
                "event_id": "$0:domain",
                "origin": "domain",
                "origin_server_ts": 1000000,
                "type": "m.room.message",
                "room_id": "!r:domain",
                "sender": "@u:domain",
                "signatures": {},
                "unsigned": {"age_ts": 1000000},
            },
            "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
            "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
        ),
    ],
)
def test_event_signing_vectors(pdu: dict[str, Any], content_hash_text: str, signature: str) -> None:
    version = room_version("1")
    assert encode_base64(content_hash(pdu, version)) == content_hash_text
    hashed = {**pdu, "hashes": {"sha256": content_hash_text}}
    signed = sign_pdu(hashed, version, "domain", SPEC_KEY)
    assert signed == {**hashed, "signatures": {"domain": {"ed25519:1": signature}}}


@given(canonical_objects)
def test_what_is_signed_verifies_here_and_with_signedjson(obj: dict[str, Any]) -> None:
    obj.pop("signatures", None)
    signed = sign_json(obj, SERVER, KEY)
    verify_json(signed, SERVER, OUR_KEYS)
    verify_signed_json(signed, SERVER, decode_verify_key_bytes(KEY.key_id, KEY.verify_key.public))
    assert "signatures" not in obj


@given(events())
def test_events_verify_with_signedjson(event: Event) -> None:
    key = decode_verify_key_bytes(KEY.key_id, KEY.verify_key.public)
    verify_signed_json(redact(event.pdu, event.version), SERVER, key)


@given(events(), st.integers(0), st.integers(1, 255))
def test_a_changed_byte_of_the_signature_fails(event: Event, at: int, change: int) -> None:
    signature = bytearray(decode_base64(event.pdu["signatures"][SERVER][KEY.key_id]))
    signature[at % len(signature)] ^= change
    changed = with_signature(event.pdu, SERVER, KEY.key_id, encode_base64(bytes(signature)))
    with pytest.raises(InvalidSignature):
        verify_event(Event(changed, event.version, event.event_id), SERVER, OUR_KEYS)


@given(events(), st.data())
def test_a_change_of_what_redaction_keeps_fails_and_changes_the_id(event: Event, data: st.DataObject) -> None:
    kept = redact(event.pdu, event.version).keys() - {"signatures", "content", "type"}
    name = data.draw(st.sampled_from(sorted(kept)))
    changed = copy.deepcopy(event.pdu)
    changed[name] = data.draw(
        st.sampled_from([0, "x", {"sha256": "x"}, []]).filter(lambda value: value != changed[name])
    )
    with pytest.raises(InvalidSignature):
        verify_event(Event(changed, event.version, event.event_id), SERVER, OUR_KEYS)
    assert event_id_of({**changed, "event_id": "$x"}, event.version) != event.event_id


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)
def test_a_change_of_other_content_does_not_fail_the_signature(version: RoomVersion) -> None:
    event = event_of(version)
    changed = Event({**event.pdu, "content": {"body": "forged"}}, version, event.event_id)
    verify_event(changed, SERVER, OUR_KEYS)


def test_the_signature_of_another_key_or_server_does_not_count() -> None:
    event = event_of(room_version("12"))
    other = SigningKey("1", b"\1" * 32)
    for server, keys in [
        (SERVER, {}),
        (SERVER, {"ed25519:1": other.verify_key}),
        (SERVER, {"ed25519:2": VerifyKey("ed25519:2", KEY.verify_key.public)}),
        ("example.com", OUR_KEYS),
    ]:
        with pytest.raises(InvalidSignature):
            verify_event(event, server, keys)


def test_unknown_keys_are_skipped_but_a_wrong_signature_of_a_known_one_is_not() -> None:
    event = event_of(room_version("12"))
    second = SigningKey("2", b"\2" * 32)
    pdu = with_signature(event.pdu, SERVER, "ed25519:2", "A" * 86)
    pdu = with_signature(pdu, SERVER, "rsa:3", "whatever")
    more = Event(pdu, event.version, event.event_id)
    assert signing_key_ids(pdu, SERVER) == {"ed25519:1", "ed25519:2"}
    verify_event(more, SERVER, OUR_KEYS)
    with pytest.raises(InvalidSignature):
        verify_event(more, SERVER, {**OUR_KEYS, "ed25519:2": second.verify_key})


@pytest.mark.parametrize("text", ["", "A", "not base64!", "A" * 85, "A" * 88, "AA==AA", "é" * 86])
def test_signatures_that_are_none_fail(text: str) -> None:
    event = event_of(room_version("12"))
    pdu = with_signature(event.pdu, SERVER, KEY.key_id, text)
    with pytest.raises(InvalidSignature):
        verify_event(Event(pdu, event.version, event.event_id), SERVER, OUR_KEYS)


@pytest.mark.parametrize(
    "signatures", [None, [], "x", {SERVER: []}, {SERVER: {"ed25519:1": 1}}, {SERVER: {}}, {}]
)
def test_malformed_signatures_of_json_fail(signatures: Any) -> None:
    with pytest.raises(InvalidSignature):
        verify_json({"signatures": signatures}, SERVER, OUR_KEYS)


def test_json_without_a_canonical_form_fails() -> None:
    signed = sign_json({}, SERVER, KEY) | {"a": "\ud800"}
    with pytest.raises(InvalidSignature):
        verify_json(signed, SERVER, OUR_KEYS)


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)
@pytest.mark.parametrize(("late_by", "good"), [(0, True), (1, False)])
def test_key_validity_counts_since_version_5(version: RoomVersion, late_by: int, good: bool) -> None:
    event = event_of(version, origin_server_ts=1000)
    key = VerifyKey(KEY.key_id, KEY.verify_key.public, valid_until_ts=1000 - late_by)
    if good or version.id in ("1", "2", "3", "4"):
        verify_event(event, SERVER, {KEY.key_id: key})
    else:
        with pytest.raises(InvalidSignature):
            verify_event(event, SERVER, {KEY.key_id: key})


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)
def test_a_key_given_up_before_the_event_never_counts(version: RoomVersion) -> None:
    key = VerifyKey(KEY.key_id, KEY.verify_key.public, valid_until_ts=999, expired=True)
    with pytest.raises(InvalidSignature):
        verify_event(event_of(version, origin_server_ts=1000), SERVER, {KEY.key_id: key})
    verify_event(event_of(version, origin_server_ts=999), SERVER, {KEY.key_id: key})


def test_small_order_public_keys_verify_nothing() -> None:
    weak = VerifyKey("ed25519:1", b"\1" + b"\0" * 31)
    assert not weak.verifies(b"message", b"\1" + b"\0" * 63)


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)
def test_the_servers_of_sender_and_event_id_must_sign(version: RoomVersion) -> None:
    event = event_of(version, event_id=EventID("$event:other.example"))
    expected: set[str] = {SERVER, "other.example"} if version.id in ("1", "2") else {SERVER}
    assert set(required_signers(event)) == expected


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.id)
def test_the_server_that_let_a_member_in_must_sign(version: RoomVersion) -> None:
    content = {"membership": "join", "join_authorised_via_users_server": "@bob:third.example"}
    event = event_of(version, type="m.room.member", content=content, state_key="@alice:example.org")
    knows_restricted = int(version.id) >= 8
    assert ("third.example" in required_signers(event)) is knows_restricted
    assert SERVER in required_signers(event)


@pytest.mark.parametrize("authoriser", [1, "", "nobody", {"a": 1}, ["@bob:third.example"]])
def test_an_authoriser_that_cannot_exist_makes_the_event_invalid(authoriser: Any) -> None:
    content = {"membership": "join", "join_authorised_via_users_server": authoriser}
    event = event_of(room_version("12"), type="m.room.member", content=content, state_key="@a:b")
    with pytest.raises(InvalidEvent):
        required_signers(event)


def test_a_third_party_invite_needs_no_signature_of_the_senders_server() -> None:
    content = {"membership": "invite", "third_party_invite": {"signed": {}}}
    for membership, signers in [("invite", set()), ("join", {SERVER})]:
        content["membership"] = membership
        event = event_of(
            room_version("12"),
            type="m.room.member",
            content=content,
            state_key="@bob:third.example",
            sender=UserID("@alice:example.org"),
        )
        assert required_signers(event) == signers


def test_a_key_file_line_is_written_as_it_was_read() -> None:
    line = "ed25519 a_XXXX YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA0"
    key = SigningKey.from_line(line + "\n")
    assert key.key_id == "ed25519:a_XXXX"
    assert key.line() == line
    assert [each.key_id for each in parse_key_file(f"{line}\n\n{KEY.line()}\n")] == [
        "ed25519:a_XXXX",
        "ed25519:1",
    ]
    assert encode_base64(decode_base64(line.split()[2])) not in repr(key)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ed25519 a",
        "rsa a YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1",
        "ed25519 a AAAA",
        "x",
        "ed25519 a-b YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1",
        "ed25519 a !!!!",
    ],
)
def test_a_malformed_key_file_is_refused(line: str) -> None:
    with pytest.raises(InvalidParam):
        parse_key_file(line)


@pytest.mark.parametrize(
    ("key_id", "text"), [("rsa:1", "A" * 43), ("ed25519:1", "A"), ("ed25519:1", "A" * 42)]
)
def test_a_verify_key_of_a_wrong_kind_is_refused(key_id: str, text: str) -> None:
    with pytest.raises(InvalidParam):
        VerifyKey.parse(key_id, text)


def test_a_verify_key_is_written_as_it_was_read() -> None:
    text = KEY.verify_key.text()
    assert VerifyKey.parse("ed25519:1", text) == KEY.verify_key


@given(st.binary())
def test_base64_round_trips_in_either_alphabet_and_padding(data: bytes) -> None:
    text = encode_base64(data)
    padded = text + "=" * (-len(text) % 4)
    url_safe = text.replace("+", "-").replace("/", "_")
    assert decode_base64(text) == decode_base64(padded) == decode_base64(url_safe) == data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"foob", "Zm9vYg"),
        (b"fooba", "Zm9vYmE"),
        (b"foobar", "Zm9vYmFy"),
    ],
)
def test_base64_examples_of_the_specification(data: bytes, text: str) -> None:
    assert encode_base64(data) == text
    assert encode_canonical(text).strip(b'"').decode() == text
