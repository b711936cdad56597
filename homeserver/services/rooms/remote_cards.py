"""What other servers tell of rooms that this one is not in; remembered for a while.

https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from federation.client.federation_client import FederationClient
from federation.wire.public_rooms import HIERARCHY, HierarchyOptions
from homeserver.clock import Clock
from homeserver.protocol.canonical_json import is_canonical
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, is_room_id
from homeserver.services.rooms.remote_servers import RemoteServers
from homeserver.services.rooms.room_cards import Content, RoomCards
from storage.caches import CacheBudget
from storage.database import Database
from storage.tables.memberships import Memberships

REMEMBERED_S: Final = 300.0
MAX_SERVERS: Final = 3
_TEXTS: Final = (
    *("name", "topic", "avatar_url", "canonical_alias", "room_type", "join_rule"),
    *("encryption", "room_version"),
)
_OPEN: Final = frozenset(("public", "knock", "knock_restricted"))


@dataclass(frozen=True, slots=True)
class RemoteHierarchy:
    """A room, its children as far as the server knows them, and those that our users cannot enter."""

    room: Content
    children: list[Content]
    inaccessible: list[str]


@dataclass(frozen=True, slots=True)
class _Remembered:
    until: float
    answer: RemoteHierarchy
    size: int


class RemoteCards:
    """Asks servers that may know a room."""

    def __init__(
        self,
        client: FederationClient,
        servers: RemoteServers,
        cards: RoomCards,
        database: Database,
        caches: CacheBudget,
        clock: Clock,
    ) -> None:
        self._client = client
        self._servers = servers
        self._cards = cards
        self._database = database
        self._clock = clock
        self._cache = caches.cache("remote_rooms", lambda remembered: remembered.size)

    async def hierarchy(
        self, room_id: RoomID, via: Sequence[ServerName], user_id: UserID, *, suggested_only: bool = False
    ) -> RemoteHierarchy | None:
        """What a server tells of a room and its children; None if none of those that may know it does."""
        key = (room_id, suggested_only)
        remembered: _Remembered | None = self._cache.get(key)
        if remembered is not None and remembered.until > self._clock.seconds():
            return remembered.answer
        for server in (await self._servers.knowing(room_id, user_id, via))[:MAX_SERVERS]:
            try:
                found = await self._client.request(
                    HIERARCHY, server, path={"room_id": room_id}, query=HierarchyOptions(suggested_only)
                )
            except MatrixError:
                continue
            room = card_of(found.room)
            if room is None or room["room_id"] != room_id:
                continue
            children = [card for card in map(card_of, found.children) if card is not None]
            answer = RemoteHierarchy(room, children, found.inaccessible_children)
            size = 1000 + 2 * len(orjson.dumps([room, children, answer.inaccessible]))
            self._cache.put(key, _Remembered(self._clock.seconds() + REMEMBERED_S, answer, size))
            return answer
        return None

    async def is_open_to(self, card: Content, user_id: UserID) -> bool:
        """Whether a user of ours may see what was told to the server as a whole."""
        if card["join_rule"] in _OPEN or card["world_readable"]:
            return True
        room_id = RoomID(card["room_id"])
        row = await self._database.read(lambda tx: Memberships(tx).find(room_id, user_id))
        if row is not None and row.membership in ("join", "invite"):
            return True
        return await self._cards.is_in_any(user_id, card.get("allowed_room_ids", ()))


def card_of(given: Any) -> Content | None:
    """What of a card is well formed; None for one that is not."""
    if not isinstance(given, dict):
        return None
    room_id, count = given.get("room_id"), given.get("num_joined_members")
    if not isinstance(room_id, str) or not is_room_id(room_id):
        return None
    card: Content = {
        "room_id": room_id,
        "num_joined_members": count if type(count) is int and is_canonical(count) else 0,
        "world_readable": given.get("world_readable") is True,
        "guest_can_join": given.get("guest_can_join") is True,
        "join_rule": "public",
    }
    card |= {name: given[name] for name in _TEXTS if isinstance(given.get(name), str)}
    allowed = given.get("allowed_room_ids")
    if isinstance(allowed, list):
        card["allowed_room_ids"] = [each for each in allowed if isinstance(each, str)]
    state = given.get("children_state")
    children = state if isinstance(state, list) else []
    card["children_state"] = [child for child in children if _is_child(child)]
    return card


def _is_child(child: Any) -> bool:
    return (
        isinstance(child, dict)
        and child.get("type") == "m.space.child"
        and isinstance(child.get("state_key"), str)
        and is_room_id(child["state_key"])
        and isinstance(child.get("content"), dict)
        and type(child.get("origin_server_ts")) is int
        and is_canonical(child)
    )
