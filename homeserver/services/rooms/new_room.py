"""The events that a new room begins with; pure.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from homeserver.protocol.errors import BadJson
from homeserver.protocol.identifiers import RoomAlias, StateKey, UserID, is_user_id
from homeserver.protocol.room_versions import RoomVersion

Content = dict[str, Any]
Preset = Literal["private_chat", "public_chat", "trusted_private_chat"]

POWER_LEVELS: StateKey = ("m.room.power_levels", "")


class StateEntry(NamedTuple):
    """One state event to be."""

    type: str
    state_key: str
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRoom:
    """What a client wants of a new room."""

    preset: Preset
    published: bool = False
    alias_localpart: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: tuple[UserID, ...] = ()
    is_direct: bool = False
    creation_content: Mapping[str, Any] = field(default_factory=dict)
    initial_state: tuple[StateEntry, ...] = ()
    power_levels: Mapping[str, Any] = field(default_factory=dict)


def create_content(room: NewRoom, version: RoomVersion, creator: UserID) -> Content:
    """The content of `m.room.create`. Raises BadJson."""
    content = {**room.creation_content, "room_version": version.id}
    content.pop("creator", None)
    if version.creator_in_content:
        content["creator"] = creator
    if version.privileged_creators and room.preset == "trusted_private_chat":
        given = content.get("additional_creators", [])
        if not isinstance(given, list):
            raise BadJson("`additional_creators` must be a list of user IDs")
        others = [user_id for user_id in dict.fromkeys((*given, *room.invite)) if user_id != creator]
        if not all(isinstance(user_id, str) and is_user_id(user_id) for user_id in others):
            raise BadJson("`additional_creators` must be a list of user IDs")
        if others:
            content["additional_creators"] = others
    return content


def first_state(
    room: NewRoom, version: RoomVersion, creator: UserID, alias: RoomAlias | None
) -> Iterator[StateEntry]:
    """The state events after the creator's join and before the invites, in the order that the specification
    gives.
    """
    initial = {(entry.type, entry.state_key): entry for entry in room.initial_state}
    if any("\0" in part for key in initial for part in key):
        raise BadJson("A NUL character is not allowed in types and state keys")
    power_levels = initial.pop(POWER_LEVELS, None)
    yield power_levels or StateEntry(*POWER_LEVELS, _power_levels(room, version, creator))
    if alias is not None:
        yield StateEntry("m.room.canonical_alias", "", {"alias": alias})
    for entry in _preset_state(room.preset):
        if (entry.type, entry.state_key) not in initial:
            yield entry
    overridden = {("m.room.name", ""): room.name, ("m.room.topic", ""): room.topic}
    for key, entry in initial.items():
        if overridden.get(key) is None:
            yield entry
    if room.name is not None:
        yield StateEntry("m.room.name", "", {"name": room.name})
    if room.topic is not None:
        yield StateEntry("m.room.topic", "", topic_content(room.topic))


def topic_content(topic: str) -> Content:
    """A plain topic, in the old and the extensible form. https://spec.matrix.org/v1.19/client-server-api/#mroomtopic"""
    return {"topic": topic, "m.topic": {"m.text": [{"body": topic, "mimetype": "text/plain"}]}}


def _preset_state(preset: Preset) -> Iterator[StateEntry]:
    public = preset == "public_chat"
    yield StateEntry("m.room.join_rules", "", {"join_rule": "public" if public else "invite"})
    yield StateEntry("m.room.history_visibility", "", {"history_visibility": "shared"})
    yield StateEntry("m.room.guest_access", "", {"guest_access": "forbidden" if public else "can_join"})


def _power_levels(room: NewRoom, version: RoomVersion, creator: UserID) -> Content:
    users: dict[str, int] = {}
    if not version.privileged_creators:
        users[creator] = 100
        if room.preset == "trusted_private_chat":
            users |= dict.fromkeys(room.invite, 100)
    return {
        "ban": 50,
        "events": {
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.encryption": 100,
            "m.room.history_visibility": 100,
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": 150 if version.privileged_creators else 100,
        },
        "events_default": 0,
        "invite": 50 if room.preset == "public_chat" else 0,
        "kick": 50,
        "redact": 50,
        "state_default": 50,
        "users": users,
        "users_default": 0,
        **room.power_levels,
    }
