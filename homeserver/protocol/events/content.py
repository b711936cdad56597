"""Lenient readers of event content.

Content is what its sender put in. Only what the authorisation rules check of it is sure, so
everything here reads what is well formed and takes the specification's default for the rest, and
never raises.

https://spec.matrix.org/v1.19/client-server-api/#room-events
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, UserID, is_event_id, is_room_id
from homeserver.protocol.room_versions import RoomVersion

CREATOR_LEVEL: Final = 100
"""What the creator has in a room without `m.room.power_levels`, in room versions where creators
have levels.
"""

_LEVEL = re.compile(r"\s*[+-]?[0-9]{1,400}\s*", re.ASCII)
_NOTHING: Mapping[str, Any] = {}


class PowerLevels:
    """The power levels of a room, with the defaults of those that are not set.

    Read on demand, as the event may list a great many users. Levels are integers, but privileged
    creators have infinity.

    https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels
    """

    __slots__ = ("_content", "_creator", "_version", "creators")

    creators: frozenset[UserID]
    """Those above all levels; nobody in room versions where creators have levels."""

    def __init__(
        self,
        version: RoomVersion,
        content: Mapping[str, Any],
        creators: frozenset[UserID],
        creator: str | None,
    ) -> None:
        self._version = version
        self._content = content
        self._creator = creator
        self.creators = creators

    @classmethod
    def of(cls, version: RoomVersion, power_levels: Event | None, create: Event | None) -> "PowerLevels":
        """From the room's `m.room.power_levels` and `m.room.create`, either of which may not be
        there.
        """
        creators: frozenset[UserID] = frozenset()
        if version.privileged_creators and create is not None:
            creators = creators_of(create)
        if power_levels is not None:
            return cls(version, power_levels.content, creators, None)
        return cls(version, _NOTHING, creators, None if create is None else creator_of(create))

    def user(self, user_id: str) -> float:
        """The power level of a user."""
        if user_id in self.creators:
            return math.inf
        if user_id == self._creator:
            return CREATOR_LEVEL
        level = self._entry("users", user_id)
        return self.users_default if level is None else level

    def required(self, type: str, is_state: bool) -> int:
        """The level that an event of this type takes to be sent."""
        level = self._entry("events", type)
        if level is not None:
            return level
        return self.state_default if is_state else self.events_default

    def notification(self, key: str) -> int:
        """The level that it takes to notify in this way, such as `room`."""
        level = self._entry("notifications", key)
        return 50 if level is None else level

    @property
    def users_default(self) -> int:
        """The level of users who are not listed."""
        return self._level("users_default", 0)

    @property
    def events_default(self) -> int:
        """The level for message events of types that are not listed."""
        return self._level("events_default", 0)

    @property
    def state_default(self) -> int:
        """The level for state events of types that are not listed."""
        return self._level("state_default", 50)

    @property
    def invite(self) -> int:
        """The level to invite."""
        return self._level("invite", 0)

    @property
    def kick(self) -> int:
        """The level to make others leave."""
        return self._level("kick", 50)

    @property
    def ban(self) -> int:
        """The level to ban and, with `kick`, to unban."""
        return self._level("ban", 50)

    @property
    def redact(self) -> int:
        """The level to redact events of others."""
        return self._level("redact", 50)

    def listed_users(self) -> dict[UserID, int]:
        """The levels of the users that the event lists; without privileged creators."""
        users = self._content.get("users")
        if not isinstance(users, dict):
            return {}
        read = ((user_id, read_level(value, self._version)) for user_id, value in users.items())
        return {UserID(user_id): level for user_id, level in read if level is not None}

    def _level(self, name: str, default: int) -> int:
        if name not in self._content:
            return default
        level = read_level(self._content[name], self._version)
        return default if level is None else level

    def _entry(self, map_name: str, key: str) -> int | None:
        entries = self._content.get(map_name)
        if not isinstance(entries, dict) or key not in entries:
            return None
        return read_level(entries[key], self._version)


def read_level(value: Any, version: RoomVersion) -> int | None:
    """The integer that a power level stands for in this room version, or None if it stands for
    none.

    Before room version 10 strings of digits are integers, with a sign and white space if need be;
    where floats occur, they are cut off at the decimal point:
    https://spec.matrix.org/v1.19/rooms/v1/#mroompower_levels-events-accept-values-as-floats
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if version.integer_power_levels:
        return None
    if isinstance(value, str):
        return int(value) if _LEVEL.fullmatch(value) else None
    if isinstance(value, float) and math.isfinite(value):
        return math.trunc(value)
    return None


def creator_of(create: Event) -> str | None:
    """The user that created the room."""
    if not create.version.creator_in_content:
        return create.sender
    return text_of(create.content, "creator")


def creators_of(create: Event) -> frozenset[UserID]:
    """The [room creators](https://spec.matrix.org/v1.19/rooms/v12/#event-format): the sender, and
    the additional ones where creators are privileged.
    """
    creators = {create.sender}
    if create.version.privileged_creators:
        additional = create.content.get("additional_creators")
        if isinstance(additional, list):
            creators.update(UserID(user) for user in additional if isinstance(user, str))
    return frozenset(creators)


def federates(create: Event) -> bool:
    """Whether users of other servers may be in the room. The authorisation rules only know `false`."""
    return create.content.get("m.federate") is not False


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The room that a room replaces, and the last event known of it."""

    room_id: RoomID
    event_id: EventID | None


def predecessor_of(create: Event | None) -> Predecessor | None:
    """The room that this one is the upgrade of. https://spec.matrix.org/v1.19/client-server-api/#mroomcreate"""
    previous = None if create is None else create.content.get("predecessor")
    if not isinstance(previous, dict):
        return None
    room_id, event_id = previous.get("room_id"), previous.get("event_id")
    if not (isinstance(room_id, str) and is_room_id(room_id)):
        return None
    if not (isinstance(event_id, str) and is_event_id(event_id)):
        return Predecessor(RoomID(room_id), None)
    return Predecessor(RoomID(room_id), EventID(event_id))


def replacement_of(tombstone: Event | None) -> RoomID | None:
    """The room that an `m.room.tombstone` points to."""
    room_id = None if tombstone is None else text_of(tombstone.content, "replacement_room")
    return RoomID(room_id) if room_id is not None and is_room_id(room_id) else None


def join_rule_of(join_rules: Event | None) -> str:
    """The join rule of a room; `invite` without one."""
    return "invite" if join_rules is None else text_of(join_rules.content, "join_rule") or "invite"


def allowed_rooms_of(join_rules: Event | None) -> list[RoomID]:
    """The rooms whose members may join by the join rules `restricted` and `knock_restricted`.

    https://spec.matrix.org/v1.19/client-server-api/#restricted-rooms
    """
    allow = None if join_rules is None else join_rules.content.get("allow")
    if not isinstance(allow, list):
        return []
    rooms = (
        condition.get("room_id")
        for condition in allow
        if isinstance(condition, dict) and condition.get("type") == "m.room_membership"
    )
    return [RoomID(room_id) for room_id in rooms if isinstance(room_id, str) and is_room_id(room_id)]


def history_visibility_of(visibility: Event | None) -> str:
    """The history visibility of a room; `shared` without one that is understood.

    https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility
    """
    value = None if visibility is None else visibility.content.get("history_visibility")
    understood = ("world_readable", "shared", "invited", "joined")
    return value if isinstance(value, str) and value in understood else "shared"


def guests_can_join(guest_access: Event | None) -> bool:
    """Whether `m.room.guest_access` lets guests join."""
    return guest_access is not None and guest_access.content.get("guest_access") == "can_join"


@dataclass(frozen=True, slots=True)
class Relation:
    """What an event says of itself and another one. https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events"""

    event_id: EventID
    rel_type: str
    key: str | None = None


def relation_of(event: Event) -> Relation | None:
    """The relation in `m.relates_to`, if it has a type and a target. State events' relations are
    read as well.
    """
    return relation_in(event.content)


def relation_in(content: Mapping[str, Any]) -> Relation | None:
    """`relation_of` an event with this content."""
    relates_to = content.get("m.relates_to")
    if not isinstance(relates_to, dict):
        return None
    event_id, rel_type = relates_to.get("event_id"), relates_to.get("rel_type")
    if not (isinstance(event_id, str) and is_event_id(event_id) and isinstance(rel_type, str)):
        return None
    return Relation(EventID(event_id), rel_type, text_of(relates_to, "key"))


def text_of(content: Mapping[str, Any], key: str) -> str | None:
    """A string of the content, or None if it is not there or something else."""
    value = content.get(key)
    return value if isinstance(value, str) else None
