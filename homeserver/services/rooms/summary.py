"""The summary of a room: what lists of rooms show of it, kept in step with its current state."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from homeserver.protocol.identifiers import ServerName, UserID, server_of
from homeserver.services.rooms.state_change import StateChange

_TEXTS = {
    "m.room.name": ("name", "name"),
    "m.room.topic": ("topic", "topic"),
    "m.room.avatar": ("avatar_url", "url"),
    "m.room.canonical_alias": ("canonical_alias", "alias"),
    "m.room.create": ("room_type", "type"),
    "m.room.join_rules": ("join_rule", "join_rule"),
    "m.room.history_visibility": ("history_visibility", "history_visibility"),
    "m.room.guest_access": ("guest_access", "guest_access"),
    "m.room.encryption": ("encryption", "algorithm"),
}


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """``local_members`` are the joined users of this server; 0 means that it takes no part in the room."""

    name: str | None = None
    topic: str | None = None
    avatar_url: str | None = None
    canonical_alias: str | None = None
    room_type: str | None = None
    join_rule: str | None = None
    history_visibility: str | None = None
    guest_access: str | None = None
    encryption: str | None = None
    joined_members: int = 0
    invited_members: int = 0
    local_members: int = 0


def summary_after(
    summary: RoomSummary, changes: Iterable[StateChange], server_name: ServerName
) -> RoomSummary:
    """The summary when ``changes`` of current state have happened."""
    fields: dict[str, Any] = {}
    joined = invited = local = 0
    for change in changes:
        event_type, state_key = change.key
        if event_type == "m.room.member":
            was, now = change.memberships
            joins = (now == "join") - (was == "join")
            joined += joins
            invited += (now == "invite") - (was == "invite")
            if server_of(UserID(state_key)) == server_name:
                local += joins
        elif state_key == "" and event_type in _TEXTS:
            field, content_key = _TEXTS[event_type]
            fields[field] = storable_text(change.current.event.content if change.current else {}, content_key)
    if joined or invited or local:
        fields["joined_members"] = summary.joined_members + joined
        fields["invited_members"] = summary.invited_members + invited
        fields["local_members"] = summary.local_members + local
    return replace(summary, **fields) if fields else summary


def storable_text(content: dict[str, Any], key: str) -> str | None:
    """A text of event content that PostgreSQL can hold; None for anything else, and for an empty one."""
    value = content.get(key)
    return value if isinstance(value, str) and value and "\0" not in value else None
