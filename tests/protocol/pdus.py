"""Events to test with: one small PDU of every room version, and Hypothesis strategies for JSON and
for whole events.
"""

from typing import Any

from hypothesis import strategies as st

from homeserver.protocol.events.building import build_event
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.protocol.room_versions import ROOM_VERSIONS, EventIDFormat, RoomVersion
from homeserver.protocol.signing_keys import SigningKey

SERVER = ServerName("example.org")
ALICE = UserID("@alice:example.org")
KEY = SigningKey("1", bytes(range(32)))
ROOM = RoomID("!room:example.org")
CREATE = EventID("$create:example.org")
POWER = EventID("$power:example.org")

ALL_VERSIONS = list(ROOM_VERSIONS.values())
versions = st.sampled_from(ALL_VERSIONS)

MAX_INTEGER = 2**53 - 1
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def json_values(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """JSON values with these leaves."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=20,
    )


canonical_leaves = st.none() | st.booleans() | integers | texts
canonical_values = json_values(canonical_leaves)
canonical_objects = st.dictionaries(texts, canonical_values, max_size=5)

lenient_leaves = canonical_leaves | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
lenient_values = json_values(lenient_leaves)

EVENT_TYPES = [
    "m.room.message",
    "m.room.member",
    "m.room.create",
    "m.room.join_rules",
    "m.room.power_levels",
    "m.room.aliases",
    "m.room.history_visibility",
    "m.room.redaction",
    "org.example.custom",
]
KEPT_KEYS = [
    "membership",
    "creator",
    "join_rule",
    "allow",
    "users",
    "invite",
    "aliases",
    "history_visibility",
    "redacts",
    "third_party_invite",
    "join_authorised_via_users_server",
]
contents = st.dictionaries(st.sampled_from(KEPT_KEYS) | texts, canonical_values, max_size=6)


def event_of(
    version: RoomVersion,
    *,
    type: str = "m.room.message",
    content: dict[str, Any] | None = None,
    state_key: str | None = None,
    sender: UserID = ALICE,
    **others: Any,
) -> Event:
    """A signed event of this room version; what is not given is small and ordinary."""
    chosen = version.event_id_format is EventIDFormat.CHOSEN_BY_SENDER
    arguments: dict[str, Any] = {
        "room_id": ROOM,
        "prev_events": [CREATE],
        "auth_events": [CREATE, POWER],
        "depth": 7,
        "origin_server_ts": 1_700_000_000_000,
        "server_name": SERVER,
        "signing_key": KEY,
        "event_id": EventID("$event:example.org") if chosen else None,
        **others,
    }
    return build_event(
        version,
        sender=sender,
        type=type,
        content={"body": "hello"} if content is None else content,
        state_key=state_key,
        **arguments,
    )


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Signed events of every room version, of types that redaction knows, with content that it
    looks at.
    """
    return event_of(
        draw(versions),
        type=draw(st.sampled_from(EVENT_TYPES)),
        content=draw(contents),
        state_key=draw(st.none() | st.sampled_from(["", "@alice:example.org"])),
        depth=draw(st.integers(0, 2**53 - 1)),
        origin_server_ts=draw(integers),
    )
