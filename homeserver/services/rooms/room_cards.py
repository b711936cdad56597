"""What is shown of a room to those who consider joining it, and to whom.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias,
https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy
"""

from collections.abc import Iterable
from typing import Any, Final

from homeserver.protocol.events.client_format import stripped_state
from homeserver.protocol.events.content import allowed_rooms_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, is_room_id, is_server_name
from homeserver.services.rooms.closed_rooms import ClosedRooms
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import RoomHead, RoomHeads
from homeserver.services.rooms.state_store import StateStore
from storage.database import Database
from storage.tables.memberships import Memberships
from storage.tables.state import CurrentState

Content = dict[str, Any]

SPACE: Final = "m.space"
_CHILD: Final = "m.space.child"
_RESTRICTED: Final = frozenset(("restricted", "knock_restricted"))
_MAX_ORDER: Final = 50


class RoomCards:
    """Makes cards of rooms that this server is in."""

    def __init__(self, database: Database, heads: RoomHeads, states: StateStore, events: EventStore) -> None:
        self._database = database
        self._heads = heads
        self._states = states
        self._events = events
        self._closed = ClosedRooms(database)

    async def is_closed(self, room_id: RoomID) -> bool:
        """Whether nobody may enter a room, so that its card is only for who is in it."""
        return await self._closed.is_closed(room_id)

    async def participating(self, room_id: RoomID) -> RoomHead | None:
        """The head of a room that this server is in."""
        head = await self._heads.find(room_id)
        return None if head is None or head.summary.local_members == 0 else head

    async def card(self, head: RoomHead) -> Content:
        """The summary of a room."""
        summary = head.summary
        shown: Content = {
            "room_id": head.room_id,
            "num_joined_members": summary.joined_members,
            "world_readable": summary.history_visibility == "world_readable",
            "guest_can_join": summary.guest_access == "can_join",
            "join_rule": summary.join_rule or "invite",
            "name": summary.name,
            "topic": summary.topic,
            "avatar_url": summary.avatar_url,
            "canonical_alias": summary.canonical_alias,
            "room_type": summary.room_type,
            "encryption": summary.encryption,
            "room_version": head.room_version.id,
        }
        if summary.join_rule in _RESTRICTED:
            shown["allowed_room_ids"] = await self._allowed(head)
        return {key: value for key, value in shown.items() if value is not None}

    async def children(self, head: RoomHead, *, suggested_only: bool) -> list[Content]:
        """The `m.space.child` events of a space in their order, stripped."""
        if head.summary.room_type != SPACE:
            return []
        rows = await self._database.read(lambda tx: CurrentState(tx).of_types(head.room_id, [_CHILD]))
        found = await self._events.by_nids([nid for _, _, nid in rows])
        shown = [
            {**stripped_state(stored.event), "origin_server_ts": stored.event.origin_server_ts}
            for stored in found.values()
            if _is_child(stored.event)
        ]
        return ordered(shown, suggested_only=suggested_only)

    async def is_open_to(self, head: RoomHead, user_id: UserID) -> bool:
        """Whether a local user may see the card: they are in the room, are invited, or may come in or knock."""
        member = await self._states.find(head.state, "m.room.member", user_id)
        membership = None if member is None else member.event.membership
        if membership in ("join", "invite"):
            return True
        if await self.is_closed(head.room_id):
            return False
        summary = head.summary
        if summary.history_visibility == "world_readable":
            return True
        if membership == "ban":
            return False
        if _takes_anybody(head):
            return True
        return _takes_members_of_others(head) and await self.is_in_any(user_id, await self._allowed(head))

    async def is_open_to_all(self, head: RoomHead) -> bool:
        """Whether somebody of whom nothing is known may see the card."""
        is_open = _takes_anybody(head) or head.summary.history_visibility == "world_readable"
        return is_open and not await self.is_closed(head.room_id)

    async def is_open_to_server(self, head: RoomHead, server: ServerName) -> bool:
        """Whether users of a server may see the card."""
        if await self.is_open_to_all(head):
            return True
        rooms = [head.room_id]
        if _takes_members_of_others(head) and not await self.is_closed(head.room_id):
            rooms += await self._allowed(head)
        for room_id in rooms:
            memberships = ["join", "invite"] if room_id == head.room_id else ["join"]
            if server in await self._servers(room_id, memberships):
                return True
        return False

    async def is_in_any(self, user_id: UserID, rooms: Iterable[object]) -> bool:
        """Whether a local user is in one of some rooms."""
        wanted = {room_id for room_id in rooms if isinstance(room_id, str)}
        if not wanted:
            return False
        joined = await self._database.read(lambda tx: Memberships(tx).joined_rooms(user_id))
        return not wanted.isdisjoint(joined)

    async def _allowed(self, head: RoomHead) -> list[RoomID]:
        join_rules = await self._states.find(head.state, "m.room.join_rules")
        return allowed_rooms_of(None if join_rules is None else join_rules.event)

    async def _servers(self, room_id: RoomID, memberships: list[str]) -> list[ServerName]:
        return await self._database.read(lambda tx: Memberships(tx).servers(room_id, memberships))


def ordered(children: Iterable[Content], *, suggested_only: bool) -> list[Content]:
    """Children in the order of https://spec.matrix.org/v1.19/client-server-api/#ordering-of-children-within-a-space"""
    chosen = [each for each in children if not suggested_only or each["content"].get("suggested") is True]
    return sorted(chosen, key=_place)


def vias(child: Content) -> list[ServerName]:
    """The servers to ask about a child."""
    via = child["content"].get("via")
    named = via if isinstance(via, list) else []
    return [ServerName(server) for server in named if isinstance(server, str) and is_server_name(server)]


def _takes_anybody(head: RoomHead) -> bool:
    """Whether anybody may come in or knock."""
    version, rule = head.room_version, head.summary.join_rule
    return rule in ("public", *(("knock",) if version.knocking else ()), *_knock_restricted(head))


def _takes_members_of_others(head: RoomHead) -> bool:
    """Whether members of other rooms may come in."""
    plain = ("restricted",) if head.room_version.restricted_joins else ()
    return head.summary.join_rule in (*plain, *_knock_restricted(head))


def _knock_restricted(head: RoomHead) -> tuple[str, ...]:
    return ("knock_restricted",) if head.room_version.knock_restricted else ()


def _place(child: Content) -> tuple[bool, str, int, str]:
    order = child["content"].get("order")
    valid = (
        isinstance(order, str)
        and 0 < len(order) <= _MAX_ORDER
        and all("\x20" <= letter <= "\x7e" for letter in order)
    )
    return not valid, order if valid else "", child["origin_server_ts"], child["state_key"]


def _is_child(event: Event) -> bool:
    via = event.content.get("via")
    return isinstance(via, list) and bool(via) and event.state_key is not None and is_room_id(event.state_key)
