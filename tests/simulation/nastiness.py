"""What hostile servers send: good events and data, with something in them that nobody expects."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Final

import structlog.testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from homeserver.protocol.errors import MatrixError
from homeserver.protocol.events.building import hash_and_sign
from tests.federation.pdu_server import RoomOfPdus
from tests.harness import conformance

VERSIONS: Final = ("5", "10", "12")
CHECKS: Final = settings(
    max_examples=int(os.environ.get("HOSTILE_EXAMPLES", "15")),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def _deep(levels: int, *, of_objects: bool = False) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if of_objects else [value]
    return value


_NUMBERS: Final[list[Any]] = [
    *(
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**53 - 1,
        2**53,
        -(2**53),
        2**63 - 1,
        2**63,
        -(2**63) - 1,
        2**64,
        10**40,
    ),
    *(1.5, -0.0, 1e300),
]
_TEXTS: Final[list[Any]] = [
    *(
        "",
        "\0",
        "a\0b",
        "x" * 256,
        "é" * 200,
        "x" * 3000,
        "x" * 40_000,
        "%00",
        "../..",
        "\ud7ff\ue000",
        "\U0001f600" * 70,
    ),
    *(
        "@",
        "@:",
        "!",
        "!:",
        "$",
        "#",
        "mxc://",
        "@a:b\0",
        "$x\0",
        "!x\0:y",
        "*" * 300,
        "<b>&\"'",
        "9" * 5000,
        "-1",
        "join",
    ),
    *(
        "@alice:alpha.example",
        "@eve:evil.example",
        "evil.example",
        "$unknown",
        "m.thread",
        "m.replace",
        "m.annotation",
    ),
]
_NESTS: Final[list[Any]] = [
    *([], {}, [None], [[]], [{}], {"": ""}, {"a\0": "b\0"}, {"x" * 300: 1}, ["$x"] * 30, list(range(1000))),
    *(
        _deep(100),
        _deep(239),
        _deep(250),
        _deep(900),
        _deep(100, of_objects=True),
        _deep(245, of_objects=True),
    ),
    *({"@a:b": 2**60}, {"@alice:alpha.example": "100"}, [["$x", {}]], {"$x": {"m.read": {}}}),
]
VALUES: Final = st.one_of(
    st.none(), st.sampled_from(_NUMBERS), st.sampled_from(_TEXTS), st.sampled_from(_NESTS)
).map(deepcopy)

_RELATED: Final = {"event_id": "$target", "rel_type": "m.thread", "is_falling_back": True}
CALM: Final[dict[str, list[dict[str, Any]]]] = {
    "m.room.message": [
        {
            "msgtype": "m.text",
            "body": "text",
            "m.mentions": {"user_ids": ["@alice:alpha.example"], "room": True},
        },
        {"msgtype": "m.text", "body": "text", "m.relates_to": _RELATED},
        {
            "msgtype": "m.text",
            "body": "*",
            "m.new_content": {"body": "x"},
            "m.relates_to": {**_RELATED, "rel_type": "m.replace"},
        },
        {"msgtype": "m.image", "body": "x", "url": "mxc://a/b", "info": {"w": 1, "h": 1, "size": 1}},
    ],
    "m.reaction": [{"m.relates_to": {"event_id": "$target", "rel_type": "m.annotation", "key": "+"}}],
    "m.room.encrypted": [{"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "m.relates_to": _RELATED}],
    "m.room.redaction": [{"redacts": "$target", "reason": "x"}],
    "m.room.name": [{"name": "text"}],
    "m.room.topic": [{"topic": "text", "m.topic": {"m.text": [{"body": "x", "mimetype": "text/html"}]}}],
    "m.room.avatar": [{"url": "mxc://a/b", "info": {"w": 1}}],
    "m.room.canonical_alias": [{"alias": "#a:evil.example", "alt_aliases": ["#b:evil.example"]}],
    "m.room.pinned_events": [{"pinned": ["$target"]}],
    "m.room.encryption": [{"algorithm": "m.megolm.v1.aes-sha2", "rotation_period_ms": 1}],
    "m.room.tombstone": [{"body": "x", "replacement_room": "!x:evil.example"}],
    "m.space.child": [{"via": ["evil.example"], "order": "a", "suggested": True}],
    "m.space.parent": [{"via": ["evil.example"], "canonical": True}],
    "m.room.guest_access": [{"guest_access": "can_join"}],
    "m.poll.start": [{"m.poll": {"question": {"m.text": [{"body": "x"}]}, "answers": []}}],
    "m.call.invite": [{"call_id": "x", "lifetime": 1, "version": "1"}],
    "": [{"a": 1}],
}
"""Events that do not decide who may do what."""
GRAVE: Final[dict[str, list[dict[str, Any]]]] = {
    "m.room.member": [
        {"membership": "join", "displayname": "Eve", "avatar_url": "mxc://a/b", "reason": "x"},
        {
            "membership": "invite",
            "third_party_invite": {
                "display_name": "x",
                "signed": {"mxid": "@a:b", "token": "t", "signatures": {}},
            },
        },
        {"membership": "join", "join_authorised_via_users_server": "@alice:alpha.example"},
    ],
    "m.room.power_levels": [
        {
            "users": {"@eve:evil.example": 50},
            "events": {"m.room.name": 50},
            "users_default": 50,
            "notifications": {"room": 50},
        },
    ],
    "m.room.join_rules": [
        {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": "!x:y"}]}
    ],
    "m.room.history_visibility": [{"history_visibility": "shared"}],
    "m.room.server_acl": [{"allow": ["*"], "deny": ["*a*a*a*a*"], "allow_ip_literals": False}],
    "m.room.third_party_invite": [
        {"display_name": "x", "public_key": "x", "public_keys": [{"public_key": "x"}]}
    ],
    "m.room.create": [
        {
            "room_version": "10",
            "creator": "@eve:evil.example",
            "predecessor": {"room_id": "!x:y", "event_id": "$x"},
        }
    ],
    "m.room.aliases": [{"aliases": ["#x:evil.example"]}],
}
"""Events that do."""


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places in a value, but for the whole."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*above, key)
        yield from paths(each, (*above, key))


@st.composite
def spoilt(draw: st.DrawFn, value: Any, most: int = 2, extra: tuple[str, ...] = ()) -> Any:
    """A copy of JSON with something else in some places, or without them."""
    value = deepcopy(value)
    for _ in range(draw(st.integers(1, most))):
        places = [*paths(value), *((key,) for key in extra)]
        if not places:
            return draw(VALUES)
        *above, key = draw(st.sampled_from(places))
        holder = value
        for each in above:
            holder = holder[each]
        if draw(st.integers(0, 4)) or (isinstance(holder, dict) and key not in holder):
            holder[key] = draw(VALUES)
        else:
            del holder[key]
    return value


@st.composite
def hostile_pdus(
    draw: st.DrawFn, /, room: RoomOfPdus, kinds: dict[str, list[dict[str, Any]]], **where: Any
) -> Any:
    """A PDU that looks like one of a room, mostly well signed."""
    event_type = draw(st.sampled_from(sorted(kinds)))
    content = draw(st.sampled_from(kinds[event_type]))
    server = room.server
    key = draw(st.sampled_from([None, "", server.user_id, "x", "!x:evil.example"]))
    if event_type.startswith("m.room.member"):
        key = server.user_id
    pdu = room.event(event_type, deepcopy(content), state_key=key, **where).pdu
    resigned = draw(st.integers(0, 3)) > 0
    if resigned and draw(st.booleans()):
        pdu = {**pdu, "content": draw(spoilt(pdu["content"], 2, ("m.relates_to", "body", "m.mentions")))}
    else:
        pdu = draw(spoilt(pdu, 2, ("unsigned", "redacts", "event_id", "origin", "membership")))
    return signed(room, pdu) if resigned and isinstance(pdu, dict) else pdu


def signed(room: RoomOfPdus, pdu: dict[str, Any]) -> dict[str, Any]:
    """The PDU with a good hash and signature, where it can have them."""
    server = room.server
    try:
        bare = {key: value for key, value in pdu.items() if key not in ("hashes", "signatures")}
        event = hash_and_sign(bare, room.version, server.name, server.key)
    except (MatrixError, KeyError, TypeError, AttributeError, ValueError):
        return pdu
    server.by_id[event.event_id] = event
    return event.pdu


@contextmanager
def no_bugs() -> Iterator[None]:
    """What happens in here is nothing that the server takes for a bug of its own, and is as specified."""
    with structlog.testing.capture_logs() as logs:
        yield
    bad = [each for each in logs if each["log_level"] in ("error", "critical")]
    assert bad == []
    assert conformance.noticed() == []
