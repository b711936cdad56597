"""Rule 10: `m.room.power_levels`, who may raise and lower whom.

In room versions before 10 levels may be strings or floats. Changes are found in what the levels
mean: from `"50"` to `50` nothing changes. There, too, only `users` is validated in the first power
levels of a room; in later ones a value that stands for no integer is rejected, for it cannot be
compared. What the first ones have of such values counts as not set.

Spec: https://spec.matrix.org/latest/rooms/v12/#authorisation-rules,
https://spec.matrix.org/latest/rooms/v9/#mroompower_levels-events-accept-values-as-strings
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from homeserver.protocol.auth_rules.room import NeverAllowed, Room, content_object, require
from homeserver.protocol.events.content import read_level
from homeserver.protocol.identifiers import is_user_id
from homeserver.protocol.room_versions import RoomVersion

_SINGLE_LEVELS: Final = (
    "users_default",
    "events_default",
    "state_default",
    "ban",
    "redact",
    "kick",
    "invite",
)

_Levels = Mapping[str, int]


def check_power_levels(room: Room) -> None:
    """Raise `NotAuthorised` if the sender may not change the power levels in this way, `NeverAllowed` if nobody may."""
    version, content = room.version, room.event.content
    _check_users(room, _levels_in(content, "users", version))
    if room.power_event is None and not version.integer_power_levels:
        return
    maps = _level_maps(version)
    new_single = _single_levels(content, version)
    new_maps = {name: _levels_in(content, name, version) for name in maps}
    if room.power_event is None:
        return
    current = room.power_event.content
    limit = room.sender_power

    def above_sender(name: str, level: int) -> bool:
        return level > limit

    def not_below_sender(user_id: str, level: int) -> bool:
        return level >= limit and user_id != room.event.sender

    _check_changes(_readable(current, version, _SINGLE_LEVELS), new_single, limit, above_sender)
    for name in maps:
        beyond = not_below_sender if name == "users" else above_sender
        levels = _readable(content_object(current, name) or {}, version)
        _check_changes(levels, new_maps[name], limit, beyond)


def _level_maps(version: RoomVersion) -> tuple[str, ...]:
    return ("users", "events", "notifications") if version.checks_notification_levels else ("users", "events")


def _check_users(room: Room, users: Iterable[str]) -> None:
    privileged = room.power.creators
    for user_id in users:
        require(is_user_id(user_id), "users has a key that is not a user ID", NeverAllowed)
        require(user_id not in privileged, "A creator of the room cannot have a power level", NeverAllowed)


def _check_changes(
    current: _Levels,
    new: _Levels,
    limit: float,
    untouchable: Callable[[str, int], bool],
) -> None:
    """Neither may the current value of a changed entry be out of reach, nor its new value."""
    for name in current.keys() | new.keys():
        before, after = current.get(name), new.get(name)
        if before == after:
            continue
        require(
            before is None or not untouchable(name, before),
            f"The sender may not change the level of {name}",
        )
        require(after is None or after <= limit, f"The sender may not set this level of {name}")


def _single_levels(content: Mapping[str, object], version: RoomVersion) -> dict[str, int]:
    return _read_all({name: content[name] for name in _SINGLE_LEVELS if name in content}, version)


def _levels_in(content: Mapping[str, object], name: str, version: RoomVersion) -> dict[str, int]:
    if name not in content:
        return {}
    found = content_object(content, name)
    if found is None:
        raise NeverAllowed(f"{name} must be an object")
    return _read_all(found, version)


def _read_all(values: Mapping[str, object], version: RoomVersion) -> dict[str, int]:
    levels: dict[str, int] = {}
    for name, value in values.items():
        level = read_level(value, version)
        if level is None:
            raise NeverAllowed(f"The level of {name} is not an integer")
        levels[name] = level
    return levels


def _readable(
    values: Mapping[str, object], version: RoomVersion, names: Iterable[str] | None = None
) -> dict[str, int]:
    """The levels of current power levels, without what is not one."""
    read = ((name, read_level(values.get(name), version)) for name in (values if names is None else names))
    return {name: level for name, level in read if level is not None}
