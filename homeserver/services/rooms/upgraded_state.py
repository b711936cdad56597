"""What a room hands on to the room that replaces it; pure.

https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-16
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from homeserver.protocol.events.content import PowerLevels, join_rule_of, read_level, text_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, StateKey, UserID
from homeserver.protocol.room_versions import RoomVersion
from homeserver.services.rooms.member_contents import plain
from homeserver.services.rooms.new_room import POWER_LEVELS, StateEntry

Content = dict[str, Any]

TRANSFERRED: Final[tuple[StateKey, ...]] = tuple(
    (f"m.room.{name}", "")
    for name in (
        "server_acl",
        "encryption",
        "name",
        "avatar",
        "topic",
        "guest_access",
        "history_visibility",
        "join_rules",
        "canonical_alias",
    )
)
"""Those that the specification recommends, and the name under which the room is found."""

SPACE_CHILD: Final = "m.space.child"
_OWN_TO_A_ROOM: Final = frozenset(("creator", "room_version", "predecessor", "additional_creators"))
_TOMBSTONE: Final = "m.room.tombstone"
_TOMBSTONE_LEVEL: Final = 150
_RESTRICTED: Final = 50


def create_content(
    old: Event,
    version: RoomVersion,
    creator: UserID,
    additional_creators: Sequence[UserID],
    tombstone_id: EventID | None,
) -> Content:
    """The content of the new room's `m.room.create`."""
    content = {key: value for key, value in old.content.items() if key not in _OWN_TO_A_ROOM}
    content["room_version"] = version.id
    content["predecessor"] = predecessor(old.room_id, tombstone_id)
    if version.creator_in_content:
        content["creator"] = creator
    others = [user_id for user_id in dict.fromkeys(additional_creators) if user_id != creator]
    if version.privileged_creators and others:
        content["additional_creators"] = others
    return content


def predecessor(room_id: RoomID, event_id: EventID | None) -> Content:
    """`event_id` may be omitted where it cannot be known before the create event."""
    return {"room_id": room_id} if event_id is None else {"room_id": room_id, "event_id": event_id}


def transferred(state: Mapping[StateKey, Event], version: RoomVersion) -> Iterator[StateEntry]:
    """The state that the new room begins with, but for power levels."""
    for key in TRANSFERRED:
        event = state.get(key)
        if event is not None and event.content:
            yield StateEntry(*key, _understood(event, version))
    for (event_type, state_key), event in state.items():
        if event_type == SPACE_CHILD and event.content.get("via"):
            yield StateEntry(event_type, state_key, event.content)
    for (event_type, state_key), event in state.items():
        if event_type == "m.room.member" and event.membership == "ban":
            yield StateEntry(event_type, state_key, plain("ban", text_of(event.content, "reason")))


def new_power_levels(
    levels: PowerLevels, old: Event | None, version: RoomVersion, creators: frozenset[UserID]
) -> Content:
    """The content of the new room's power levels. Where creators are above all levels they must not be listed;
    where they are not, those who were are given the highest level.
    """
    content: Content = {} if old is None else _as_integers(old.content, old.version)
    users: dict[str, int] = dict(levels.listed_users().items())
    events = content.get("events")
    events = dict(events) if isinstance(events, dict) else {}
    if version.privileged_creators:
        users = {user_id: level for user_id, level in users.items() if user_id not in creators}
        events[_TOMBSTONE] = max(levels.required(_TOMBSTONE, is_state=True), _TOMBSTONE_LEVEL)
    else:
        numbers = [level for level in events.values() if isinstance(level, int)]
        highest = max([100, *users.values(), *numbers])
        users |= dict.fromkeys(levels.creators, highest)
        if old is None:
            users |= dict.fromkeys(creators, highest)
    if users or "users" in content:
        content["users"] = users
    if events or "events" in content:
        content["events"] = events
    return content


def restricted_power_levels(levels: PowerLevels, old: Event | None) -> Content:
    """The content of the old room's power levels: only the privileged still talk and invite."""
    at_least = max(_RESTRICTED, levels.users_default + 1)
    content: Content = {} if old is None else dict(old.content)
    content["events_default"] = max(levels.events_default, at_least)
    content["invite"] = max(levels.invite, at_least)
    return content


def power_levels_entry(content: Content) -> StateEntry:
    """The last state event of the new room: until it, its creator may do everything."""
    return StateEntry(*POWER_LEVELS, content)


def _as_integers(content: Content, version: RoomVersion) -> Content:
    """Levels as every room version reads them; those that are no levels are left out."""
    read: Content = {}
    for key, value in content.items():
        if isinstance(value, dict):
            read[key] = _as_integers(value, version)
        elif (level := read_level(value, version)) is not None:
            read[key] = level
    return read


def _understood(event: Event, version: RoomVersion) -> Content:
    """The content, with a join rule that the new room understands."""
    if event.type != "m.room.join_rules":
        return event.content
    understood = {
        "knock": version.knocking,
        "restricted": version.restricted_joins,
        "knock_restricted": version.knock_restricted,
    }
    return event.content if understood.get(join_rule_of(event), True) else {"join_rule": "invite"}
