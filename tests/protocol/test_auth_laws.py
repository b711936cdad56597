"""What holds of the authorisation rules whatever the content of the events."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.auth_rules.check import check_auth
from homeserver.protocol.auth_rules.room import NotAuthorised, State
from homeserver.protocol.auth_rules.selection import auth_types_of, check_auth_events_shape
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import StateKey
from homeserver.protocol.room_versions import ROOM_VERSIONS
from tests.protocol.room_simulation import ALICE, BOB, CAROL, Fork, SimulatedRoom

USERS = (ALICE, BOB, CAROL)
TYPES = (
    "m.room.create",
    "m.room.member",
    "m.room.power_levels",
    "m.room.join_rules",
    "m.room.third_party_invite",
    "m.room.aliases",
    "m.room.redaction",
    "m.room.topic",
    "m.room.message",
)
NAMES = (
    *(
        "membership",
        "third_party_invite",
        "signed",
        "mxid",
        "token",
        "signatures",
        "public_key",
        "public_keys",
    ),
    *("join_authorised_via_users_server", "join_rule", "creator", "additional_creators", "room_version"),
    *(
        "m.federate",
        "users",
        "events",
        "notifications",
        "users_default",
        "state_default",
        "ban",
        "invite",
        "kick",
    ),
)
WORDS = st.sampled_from(
    [
        *("join", "leave", "invite", "ban", "knock", "public", "restricted", "knock_restricted", "private"),
        *("1", "12", " 50 ", "-1", "token", "m.room.topic", *USERS),
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.integers() | st.floats() | st.text() | WORDS
)
KEYS = st.sampled_from(NAMES) | WORDS | st.text()
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)
CONTENTS = st.dictionaries(KEYS, JSON, max_size=8)
STATE_KEYS = st.none() | st.sampled_from(["", "token", "a.example", *USERS]) | st.text(max_size=5)
VERSIONS = st.sampled_from(sorted(ROOM_VERSIONS, key=int))


@st.composite
def judged_events(draw: st.DrawFn) -> tuple[Event, Fork]:
    """An event of any content, in a room whose state has any content as well."""
    fork = SimulatedRoom(draw(VERSIONS)).trunk
    fork.room.create.content.update(draw(CONTENTS))
    for event_type in ("m.room.power_levels", "m.room.join_rules"):
        if draw(st.booleans()):
            fork.send(ALICE, event_type, draw(CONTENTS), "", unchecked=True)
    for user in USERS:
        membership = draw(st.sampled_from(["join", "leave", "invite", "ban", "knock", None]) | JSON)
        fork.send(user, "m.room.member", {"membership": membership}, user, unchecked=True)
    fork.send(ALICE, "m.room.third_party_invite", draw(CONTENTS), "token", unchecked=True)
    content = draw(CONTENTS)
    event_type = draw(st.sampled_from(TYPES))
    if event_type == "m.room.member" and draw(st.booleans()):
        content["membership"] = draw(st.sampled_from(["join", "leave", "invite", "ban", "knock"]))
    event = fork.build(draw(st.sampled_from(USERS)), event_type, content, draw(STATE_KEYS))
    event.pdu["redacts"] = draw(JSON)
    return event, fork


def verdict(event: Event, state: State) -> str | None:
    """Why an event is not authorised, or None if it is. No other exception is caught."""
    try:
        check_auth(event, state)
    except NotAuthorised as rejection:
        return rejection.message
    return None


@given(judged_events())
def test_whatever_the_content_an_event_is_allowed_or_not_authorised(judged: tuple[Event, Fork]) -> None:
    event, fork = judged
    assert verdict(event, fork.event) != ""


@given(judged_events())
def test_only_the_selected_state_and_the_create_event_are_looked_at(judged: tuple[Event, Fork]) -> None:
    event, fork = judged
    asked: set[StateKey] = set()

    def state(event_type: str, state_key: str) -> Event | None:
        asked.add((event_type, state_key))
        return fork.event(event_type, state_key)

    verdict(event, state)
    assert asked <= {*auth_types_of(event), ("m.room.create", "")}


@given(judged_events())
def test_the_verdict_by_the_selected_auth_events_is_that_by_the_state(judged: tuple[Event, Fork]) -> None:
    event, fork = judged
    auth_events = {auth_id: fork.room.events[auth_id] for auth_id in event.auth_event_ids}
    check_auth_events_shape(event, auth_events.values())
    by_key: dict[Any, Event] = {auth.key: auth for auth in auth_events.values()}
    by_key["m.room.create", ""] = fork.room.create

    assert verdict(event, fork.event) == verdict(event, lambda *key: by_key.get(key))


@given(judged_events())
def test_the_selection_has_no_key_twice_and_does_not_depend_on_the_order_of_keys(
    judged: tuple[Event, Fork],
) -> None:
    event, _ = judged
    keys = auth_types_of(event)
    assert len(set(keys)) == len(keys)
    pdu = {**event.pdu, "content": dict(reversed(event.content.items()))}
    assert auth_types_of(Event.from_trusted(pdu, event.version, event.event_id)) == keys
