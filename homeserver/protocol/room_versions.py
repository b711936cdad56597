"""Room versions: what differs between them, as one record of named rules each.

Code that depends on a room's version asks for the rule by its name and never compares versions. A
new version is one `replace` of the version it builds on; a new rule is a new field.

https://spec.matrix.org/v1.19/rooms/
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

from homeserver.protocol.errors import UnsupportedRoomVersion


class EventFormat(Enum):
    """How a PDU names itself and the events it refers to."""

    HASHED_REFERENCES = "v1"
    """`event_id` is in the PDU; `prev_events` and `auth_events` are lists of `[event_id, {"sha256":
    hash}]`.
    """
    PLAIN_REFERENCES = "v3"
    """No `event_id`; `prev_events` and `auth_events` are lists of event IDs."""


class EventIDFormat(Enum):
    """Where an event's ID comes from."""

    CHOSEN_BY_SENDER = "$opaque:domain"
    STANDARD_BASE64_HASH = "$reference+hash"
    URL_SAFE_BASE64_HASH = "$reference-hash"


class StateResolution(Enum):
    """The algorithm by which the state after several events is made one."""

    V1 = "1"
    V2 = "2"
    V2_1 = "2.1"


@dataclass(frozen=True, slots=True, eq=False)
class RedactionRules:
    """What a redaction leaves of an event. https://spec.matrix.org/v1.19/client-server-api/#redactions"""

    top_level: frozenset[str]
    """The keys of the event that stay."""
    content: Mapping[str, frozenset[str]]
    """By event type, the keys of `content` that stay; of other types nothing stays."""
    whole_content: frozenset[str] = frozenset()
    """The event types whose whole `content` stays."""
    signed_of_third_party_invite: bool = False
    """Whether a membership event keeps `third_party_invite.signed`."""

    def with_content(self, **keys: frozenset[str]) -> "RedactionRules":
        """The same rules, but for the `m.room.*` types named (without the prefix), which keep these
        keys.
        """
        changed = {f"m.room.{name}": kept for name, kept in keys.items()}
        return replace(self, content={**self.content, **changed})


@dataclass(frozen=True, slots=True, eq=False)
class RoomVersion:
    """The rules of a room version. Two records are equal only if they are the same record."""

    id: str
    """As in `content.room_version` of `m.room.create`."""
    event_format: EventFormat
    event_id_format: EventIDFormat
    state_resolution: StateResolution
    redaction: RedactionRules

    strict_canonical_json: bool
    """Events must be canonical JSON; if not, integers may be larger and floats occur."""
    enforces_key_validity: bool
    """A signing key must have been valid at the event's `origin_server_ts`."""
    event_id_server_signs: bool
    """The server that the event ID names must have signed, besides that of the sender."""

    special_aliases_auth: bool
    """`m.room.aliases` has an authorisation rule of its own: the state key is the sender's server.
    """
    redactions_authorised_by_level: bool
    """`m.room.redaction` is authorised by the redact level or by the event IDs' domains. Otherwise
    it is authorised as any event, and takes effect only if the sender has the redact level or is of
    the server of the redacted event's sender.
    """
    redacts_in_content: bool
    """`m.room.redaction` names its target in `content.redacts`, not in the top-level `redacts`."""
    keys_limited_in_bytes: bool
    """`type` and `state_key` have at most 255 bytes. If not, those of other servers' events may have as many code
    points: what most servers accept in old rooms must not be missing from ours.
    """
    checks_notification_levels: bool
    """A change of `notifications` in power levels is authorised as one of `events` is."""
    integer_power_levels: bool
    """Power levels must be integers; if not, strings and floats that stand for one are read as
    such.
    """
    creator_in_content: bool
    """The room's creator is `content.creator` of `m.room.create`, not its sender."""
    privileged_creators: bool
    """Creators, `content.additional_creators` among them, stand above all power levels and have
    none.
    """
    knocking: bool
    """Membership `knock` and join rule `knock` exist."""
    restricted_joins: bool
    """Join rule `restricted` and `content.join_authorised_via_users_server` exist."""
    knock_restricted: bool
    """Join rule `knock_restricted` exists."""
    room_id_is_create_hash: bool
    """The room ID is that of the create event with another sigil. The create event has no
    `room_id`.
    """
    create_in_auth_events: bool
    """The create event is among the `auth_events` of every other event; if not, it must not be."""

    @property
    def max_depth(self) -> int:
        """The limit at which the `depth` of events stays."""
        return 2**53 - 1 if self.strict_canonical_json else 2**63 - 1


_PLAIN_KEYS = frozenset(
    {
        "event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures", "depth", "prev_events",
        "auth_events", "origin_server_ts",
    }
)  # fmt: skip
_POWER_LEVEL_KEYS = frozenset(
    {"ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default"}
)

_V1 = RoomVersion(
    id="1",
    event_format=EventFormat.HASHED_REFERENCES,
    event_id_format=EventIDFormat.CHOSEN_BY_SENDER,
    state_resolution=StateResolution.V1,
    redaction=RedactionRules(
        top_level=_PLAIN_KEYS | {"origin", "membership", "prev_state"},
        content={
            "m.room.member": frozenset({"membership"}),
            "m.room.create": frozenset({"creator"}),
            "m.room.join_rules": frozenset({"join_rule"}),
            "m.room.power_levels": _POWER_LEVEL_KEYS,
            "m.room.aliases": frozenset({"aliases"}),
            "m.room.history_visibility": frozenset({"history_visibility"}),
        },
    ),
    strict_canonical_json=False,
    enforces_key_validity=False,
    event_id_server_signs=True,
    special_aliases_auth=True,
    redactions_authorised_by_level=True,
    redacts_in_content=False,
    keys_limited_in_bytes=False,
    checks_notification_levels=False,
    integer_power_levels=False,
    creator_in_content=True,
    privileged_creators=False,
    knocking=False,
    restricted_joins=False,
    knock_restricted=False,
    room_id_is_create_hash=False,
    create_in_auth_events=True,
)
_V2 = replace(_V1, id="2", state_resolution=StateResolution.V2)
_V3 = replace(
    _V2,
    id="3",
    event_format=EventFormat.PLAIN_REFERENCES,
    event_id_format=EventIDFormat.STANDARD_BASE64_HASH,
    event_id_server_signs=False,
    redactions_authorised_by_level=False,
)
_V4 = replace(_V3, id="4", event_id_format=EventIDFormat.URL_SAFE_BASE64_HASH)
_V5 = replace(_V4, id="5", enforces_key_validity=True)
_V6 = replace(
    _V5,
    id="6",
    strict_canonical_json=True,
    special_aliases_auth=False,
    checks_notification_levels=True,
    redaction=_V5.redaction.with_content(aliases=frozenset()),
)
_V7 = replace(_V6, id="7", knocking=True)
_V8 = replace(
    _V7,
    id="8",
    restricted_joins=True,
    redaction=_V7.redaction.with_content(join_rules=frozenset({"join_rule", "allow"})),
)
_V9 = replace(
    _V8,
    id="9",
    redaction=_V8.redaction.with_content(
        member=frozenset({"membership", "join_authorised_via_users_server"})
    ),
)
_V10 = replace(_V9, id="10", integer_power_levels=True, knock_restricted=True)
_V11 = replace(
    _V10,
    id="11",
    redacts_in_content=True,
    keys_limited_in_bytes=True,
    creator_in_content=False,
    redaction=replace(
        _V10.redaction.with_content(
            power_levels=_POWER_LEVEL_KEYS | {"invite"}, redaction=frozenset({"redacts"})
        ),
        top_level=_PLAIN_KEYS,
        whole_content=frozenset({"m.room.create"}),
        signed_of_third_party_invite=True,
    ),
)
_V12 = replace(
    _V11,
    id="12",
    state_resolution=StateResolution.V2_1,
    privileged_creators=True,
    room_id_is_create_hash=True,
    create_in_auth_events=False,
)

ROOM_VERSIONS: Mapping[str, RoomVersion] = MappingProxyType(
    {version.id: version for version in (_V1, _V2, _V3, _V4, _V5, _V6, _V7, _V8, _V9, _V10, _V11, _V12)}
)
"""All room versions that the specification calls stable."""

DEFAULT_ROOM_VERSION = "12"
"""The version of new rooms, which is the [specification's](https://spec.matrix.org/v1.19/rooms/#complete-list-of-room-versions)."""


def room_version(id: str) -> RoomVersion:
    """The record of a room version. Raises `UnsupportedRoomVersion`."""
    version = ROOM_VERSIONS.get(id)
    if version is None:
        raise UnsupportedRoomVersion(f"Room version {id!r} is not supported by this server")
    return version
