"""What is fed with bytes that an enemy chose. A target takes any bytes, and raises nothing."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from federation.client.key_documents import read_document
from federation.client.server_names import split_server_name
from federation.wire.joining import Joined
from federation.wire.multipart import Malformed, TwoParts, boundary_of
from federation.wire.transactions import Transaction
from homeserver.http.authentication import server_signatures
from homeserver.protocol import content_disposition
from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.selection import auth_types_of, check_auth_events_shape
from homeserver.protocol.canonical_json import check_canonical, decode, encode_lenient
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.events import content as reading
from homeserver.protocol.events.client_format import (
    client_event_bytes,
    stripped_from_untrusted,
    stripped_state,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.redaction import redacted
from homeserver.protocol.filters import read_filter
from homeserver.protocol.identifiers import EventID, ServerName, StateKey, UserID
from homeserver.protocol.push_rules.conditions import Circumstances
from homeserver.protocol.push_rules.evaluation import compiled, default_rules
from homeserver.protocol.push_rules.kinds import Kind, rule_parameters
from homeserver.protocol.push_rules.ruleset import NO_CHANGES, ruleset
from homeserver.protocol.receipt_checks import check_signatures, wanted_keys, whole_or_redacted
from homeserver.protocol.room_policy import room_policy
from homeserver.protocol.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.protocol.search_text import words_of
from homeserver.protocol.server_acl import ServerAcl
from homeserver.protocol.state_resolution.resolve import resolve
from homeserver.protocol.state_resolution.walking import auth_chain_difference
from homeserver.protocol.stream_tokens import parse_page_token, parse_sliding_position, parse_sync_token
from homeserver.protocol.visibility import can_see, server_can_see

Target = Callable[[bytes], None]

NOW: Final = 1_700_000_000_000
BOB: Final = UserID("@bob:b.example")
VERSIONS: Final = tuple(ROOM_VERSIONS[name] for name in ("1", "3", "6", "10", "12"))
_RULES: Final = default_rules(BOB)


def pdu(data: bytes) -> None:
    """One PDU of every kind of room version, read by everybody who reads events."""
    value = _json(data)
    for version in VERSIONS:
        event = _event(value, version)
        if event is not None:
            look_at(event)


def room(data: bytes) -> None:
    """A list of PDUs: each authorised by all of them, and their states resolved."""
    values = _json(data)
    for version in VERSIONS:
        events = [
            event
            for value in (values[:20] if isinstance(values, list) else ())
            if (event := _event(value, version))
        ]
        by_id = {event.event_id: event for event in events}
        for event in events:
            named = [by_id[each] for each in event.auth_event_ids if each in by_id]
            _allowed(check_auth_events_shape, event, named, frozenset())
        if events:
            _resolve(version, by_id)


def answer_to_join(data: bytes) -> None:
    """What a server says the room is, that one of ours has joined."""
    try:
        answer = msgspec.json.decode(data, type=Joined)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    for value in (*answer.state[:20], *answer.auth_chain[:20]):
        for version in VERSIONS:
            _event(value, version)
    stripped_from_untrusted(answer.state)


def transaction(data: bytes) -> None:
    """A transaction of another server."""
    try:
        body = msgspec.json.decode(data, type=Transaction)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    for value in body.pdus[:20]:
        _event(value, ROOM_VERSIONS["10"])


def key_document(data: bytes) -> None:
    """The keys that a server says it has."""
    _allowed(read_document, _json(data), NOW, direct=True)


def request_signature(data: bytes) -> None:
    """The header by which a server says who it is, and the names in it."""
    text = data.decode("latin-1")
    signatures = _allowed(server_signatures, [f"X-Matrix {text}"])
    for each in signatures or ():
        split_server_name(each.origin)
    _allowed(split_server_name, text)


def headers_of_media(data: bytes) -> None:
    """What a server says of a file that it gives, and the parts in which it gives it."""
    text = data.decode("latin-1")
    content_disposition.filename_in(text)
    kind = content_disposition.content_type(text)
    header = content_disposition.disposition(kind, content_disposition.filename(text))
    assert "\r" not in header
    assert "\n" not in header
    try:
        boundary_of(text)
        parts = TwoParts("b")
        for start in range(0, len(data), 7):
            parts.feed(data[start : start + 7])
    except Malformed:
        return


def filter_and_tokens(data: bytes) -> None:
    """What a client sends along with a question."""
    text = data.decode("utf-8", "replace")
    for parse in (parse_sync_token, parse_page_token, parse_sliding_position):
        _allowed(parse, text)
    found = _allowed(read_filter, _json(data))
    if found is not None:
        found.room.timeline.matches_type(text[:50])
        found.room.timeline.matches_sender(BOB)


def push_rule(data: bytes) -> None:
    """A push rule of a user, tried on an event."""
    body = _json(data)
    event = _event(MESSAGE, ROOM_VERSIONS["10"])
    assert event is not None
    if not isinstance(body, dict):
        return
    for kind in Kind:
        parameters = _allowed(rule_parameters, kind, body)
        if parameters is not None:
            rules = ruleset(BOB, NO_CHANGES)
            rules[kind.value].insert(0, {"rule_id": "!r:x", "enabled": True, "default": False, **parameters})
            compiled(rules).evaluate(event, Circumstances(BOB, 2, lambda sender, key: True, "Bob"))


def look_at(event: Event) -> None:
    """Read an event as every part of the server may that does not know who wrote it."""
    event.encoded()
    client_event_bytes(event)
    if event.is_state:
        json.dumps(stripped_state(event))
    whole_or_redacted(event)
    struck = redacted(event)
    assert struck.event_id == event.event_id
    for each in (event, struck):
        _read_content(each)
    if _allowed(wanted_keys, event) is not None:
        _allowed(check_signatures, event, {})
    auth_types_of(event)
    _allowed(check_auth, event, lambda event_type, state_key: event)
    _allowed(check_auth, event, lambda event_type, state_key: None)
    can_see(event, BOB, visibility="joined", membership="join", joined_since=False)
    server_can_see(
        event, ServerName("b.example"), visibility="shared", memberships={BOB: "join"}, joined_since=True
    )
    _RULES.evaluate(event, Circumstances(BOB, 2, lambda sender, key: True, "Bob"))
    _allowed(check_canonical, event.pdu)


def _read_content(event: Event) -> None:
    reading.creator_of(event)
    reading.creators_of(event)
    reading.federates(event)
    reading.predecessor_of(event)
    reading.replacement_of(event)
    reading.join_rule_of(event)
    reading.allowed_rooms_of(event)
    reading.history_visibility_of(event)
    reading.guests_can_join(event)
    reading.relation_of(event)
    words_of(reading.text_of(event.content, "body") or "")
    room_policy(event)
    ServerAcl(event).allows(ServerName("b.example:8448"))
    for value in event.content.values():
        reading.read_level(value, event.version)


def _resolve(version: RoomVersion, by_id: Mapping[EventID, Event]) -> None:
    one: dict[StateKey, EventID] = {}
    two: dict[StateKey, EventID] = {}
    for event in by_id.values():
        if event.key is not None:
            one.setdefault(event.key, event.event_id)
            two[event.key] = event.event_id

    def events(event_ids: Collection[EventID]) -> Mapping[EventID, Event]:
        return {each: by_id[each] for each in event_ids if each in by_id}

    if one:
        resolve(version, [one, two], events, lambda sets: auth_chain_difference(sets, events))


def _event(value: Any, version: RoomVersion) -> Event | None:
    event: Event | None = _allowed(parse_pdu, value, version)
    return event


def _json(data: bytes) -> Any:
    return _allowed(decode, data)


def _allowed(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """The result, or None for what is refused in order."""
    try:
        return function(*arguments, **named)
    except MatrixError:
        return None


MESSAGE: Final[dict[str, Any]] = {
    "room_id": "!r:a.example",
    "sender": "@alice:a.example",
    "type": "m.room.message",
    "content": {"msgtype": "m.text", "body": "hello Bob", "m.mentions": {"user_ids": [BOB]}},
    "origin_server_ts": NOW,
    "depth": 5,
    "prev_events": ["$p"],
    "auth_events": ["$c"],
    "hashes": {"sha256": "aGFzaA"},
    "signatures": {"a.example": {"ed25519:1": "c2ln"}},
}


def _state(event_type: str, state_key: str, **content: Any) -> dict[str, Any]:
    return {**MESSAGE, "type": event_type, "state_key": state_key, "content": content}


STATE: Final = (
    _state("m.room.create", "", creator="@alice:a.example", room_version="10", additional_creators=[BOB]),
    _state("m.room.member", "@alice:a.example", membership="join", join_authorised_via_users_server=BOB),
    _state(
        "m.room.member", BOB, membership="invite", third_party_invite={"signed": {"mxid": BOB, "token": "t"}}
    ),
    _state(
        "m.room.power_levels",
        "",
        users={BOB: 50},
        events={"m.room.name": 50},
        ban=50,
        notifications={"room": 50},
    ),
    _state(
        "m.room.join_rules",
        "",
        join_rule="restricted",
        allow=[{"type": "m.room_membership", "room_id": "!s:x"}],
    ),
    _state("m.room.server_acl", "", allow=["*"], deny=["*.evil.example"], allow_ip_literals=False),
    _state("m.room.policy", "", via="p.example", public_keys={"ed25519": "AAAA"}),
    _state("m.room.tombstone", "", replacement_room="!n:a.example", body="moved"),
)
_KEYS: Final = {
    "server_name": "a.example",
    "verify_keys": {"ed25519:1": {"key": "Noi6WqcDj0QmPxCNQqgezwTlBKrfqehY1u2FyWP9uYw"}},
    "old_verify_keys": {"ed25519:0": {"key": "Noi6WqcDj0QmPxCNQqgezwTlBKrfqehY1u2FyWP9uYw", "expired_ts": 1}},
    "valid_until_ts": NOW,
    "signatures": {"a.example": {"ed25519:1": "c2ln"}},
}
_MEDIA: Final = b"attachment; filename*=utf-8''a%20b.png; filename=\"a.png\""

TARGETS: Final[Mapping[str, Target]] = {
    each.__name__: each
    for each in (
        pdu,
        room,
        answer_to_join,
        transaction,
        key_document,
        request_signature,
        headers_of_media,
        filter_and_tokens,
        push_rule,
    )
}
SEEDS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "pdu": tuple(encode_lenient(each) for each in (MESSAGE, *STATE)),
    "room": (encode_lenient(list(STATE)), encode_lenient([*STATE, *STATE])),
    "answer_to_join": (encode_lenient({"state": STATE, "auth_chain": STATE[:2], "members_omitted": False}),),
    "transaction": (encode_lenient({"pdus": [MESSAGE], "edus": [{"edu_type": "m.typing", "content": {}}]}),),
    "key_document": (encode_lenient(_KEYS),),
    "request_signature": (b'origin="a.example",destination=b.example,key="ed25519:1",sig="c2ln"',),
    "headers_of_media": (
        _MEDIA,
        b"multipart/mixed; boundary=b",
        b"--b\r\n\r\n{}\r\n--b\r\nA: b\r\n\r\nx\r\n--b--",
    ),
    "filter_and_tokens": (
        b'{"room":{"timeline":{"limit":5,"types":["m.*"],"not_senders":["@a:b"],"contains_url":true}}}',
        b"s12_3.n.4t",
        b"t5-10",
    ),
    "push_rule": (
        b'{"actions":["notify",{"set_tweak":"sound","value":"x"}],"conditions":[{"kind":"event_match","key":"content.body",'
        b'"pattern":"he*o"},{"kind":"room_member_count","is":">1"},{"kind":"event_property_is","key":"type","value":"x"}]}',
        b'{"actions":[],"pattern":"b?b"}',
    ),
}
