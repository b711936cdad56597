"""What a push says of an event: who sent it, in which room, and what it is.

https://spec.matrix.org/v1.19/push-gateway-api/#post_matrixpushv1notify
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.rooms.access import MEMBER
from homeserver.services.rooms.heads import RoomHead, RoomHeads
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sync.summaries import Summaries
from storage.database import Database
from storage.tables.memberships import MembershipRow, Memberships

_NAME: Final = ("m.room.name", "name", "room_name")
_ALIAS: Final = ("m.room.canonical_alias", "alias", "room_alias")
_NAMED: Final = 3
"""So many members name a room that has no name."""
MAX_CONTENT_BYTES: Final = 20_000
"""Larger contents are left out: no phone is pushed so much."""


class Describer:
    """Describes events to their readers."""

    def __init__(
        self, database: Database, heads: RoomHeads, states: StateStore, summaries: Summaries
    ) -> None:
        self._database = database
        self._heads = heads
        self._states = states
        self._summaries = summaries

    async def event(self, user_id: UserID, stored: StoredEvent) -> dict[str, Any]:
        """Everything about an event, for a user who may see it."""
        event = stored.event
        told: dict[str, Any] = {
            "id": event.event_id,  # older gateways look here
            "event_id": event.event_id,
            "room_id": event.room_id,
            "type": event.type,
            "sender": event.sender,
        }
        if event.type == MEMBER:
            told["user_is_target"] = event.state_key == user_id
            told["membership"] = event.membership
        if len(orjson.dumps(event.content)) <= MAX_CONTENT_BYTES:
            told["content"] = event.content
        told.update(await self.place(user_id, event.room_id, event.sender))
        return told

    async def place(self, user_id: UserID, room_id: RoomID, sender: UserID) -> dict[str, str]:
        """Names of the sender and the room, as far as there are any."""
        head = await self._heads.find(room_id)
        if head is not None and head.summary.local_members:
            return await self._inside(user_id, head, sender)
        row = await self._database.read(lambda tx: Memberships(tx).find(room_id, user_id))
        return _outside(row, sender)

    async def _inside(self, user_id: UserID, head: RoomHead, sender: UserID) -> dict[str, str]:
        names: dict[str, str | None] = {
            "sender_display_name": await self._display_name(head, sender),
            "room_name": head.summary.name or head.summary.canonical_alias,
            "room_alias": head.summary.canonical_alias,
        }
        if names["room_name"] is None:
            names["room_name"] = await self._name_by_members(user_id, head)
        return {key: name for key, name in names.items() if name}

    async def _name_by_members(self, user_id: UserID, head: RoomHead) -> str | None:
        """The name of a room without one; None for a talk between two, which is known by the other."""
        others = head.summary.joined_members + head.summary.invited_members - 1
        if others < 2:
            return None
        summary = (await self._summaries.read([head.room_id]))[head.room_id]
        heroes = summary.heroes_for(user_id)[:_NAMED]
        names = [await self._display_name(head, hero) or hero for hero in heroes]
        return _listed(names, others - len(names))

    async def _display_name(self, head: RoomHead, user_id: UserID) -> str | None:
        member = await self._states.find(head.state, MEMBER, user_id)
        return None if member is None else _text(member.event.content, "displayname")


def _listed(names: Sequence[str], more: int) -> str | None:
    if not names:
        return None
    if more > 0:
        return f"{', '.join(names)} and {more} {'others' if more > 1 else 'other'}"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _outside(row: MembershipRow | None, sender: UserID) -> dict[str, str]:
    """What came with an invite to a room of which this server knows nothing else."""
    if row is None or row.stripped_state is None:
        return {}
    found: dict[str, str] = {}
    for event in orjson.loads(bytes(row.stripped_state)):
        content = event.get("content") if isinstance(event, dict) else None
        if not isinstance(content, dict):
            continue
        for event_type, key, name in (_NAME, _ALIAS):
            if event.get("type") == event_type and event.get("state_key") == "":
                found[name] = _text(content, key) or ""
        if event.get("type") == MEMBER and event.get("state_key") == sender:
            found["sender_display_name"] = _text(content, "displayname") or ""
    return {key: name for key, name in found.items() if name}


def _text(content: Mapping[str, Any], key: str) -> str | None:
    value = content.get(key)
    return value if isinstance(value, str) and value else None
