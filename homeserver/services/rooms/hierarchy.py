"""The rooms below a space, as far as a user may see them.

https://spec.matrix.org/v1.19/client-server-api/#discovering-rooms-within-spaces
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from homeserver.protocol.errors import Forbidden, InvalidParam, NotFound
from homeserver.protocol.identifiers import RoomID, ServerName, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.remote_cards import RemoteCards
from homeserver.services.rooms.room_cards import SPACE, Content, RoomCards, ordered, vias

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 100
MAX_DEPTH: Final = 20
MAX_ROOMS: Final = 5000
"""Rooms that one tree may have, all pages together."""
_TOKEN: Final = re.compile(r"h([0-9]{1,6})_([0-9]{1,6})_([01])")


@dataclass(frozen=True, slots=True)
class HierarchyPage:
    """Some rooms of the tree, and where to go on."""

    rooms: list[Content]
    next_batch: str | None


@dataclass(frozen=True, slots=True)
class _Next:
    """A room to look at: who may know it, and what its parent's server said of it."""

    room_id: RoomID
    via: Sequence[ServerName]
    depth: int
    told: Content | None = None


@dataclass(slots=True)
class _Walk:
    user_id: UserID
    suggested_only: bool
    max_depth: int
    stack: list[_Next]
    seen: set[RoomID] = field(default_factory=set)
    inaccessible: set[str] = field(default_factory=set)


class Hierarchy:
    """Walks the tree of a space, each child before the next one; a page goes on where the one before ended."""

    def __init__(self, cards: RoomCards, remote: RemoteCards | None = None) -> None:
        self._cards = cards
        self._remote = remote

    async def page(
        self,
        who: Requester,
        room_id: RoomID,
        *,
        suggested_only: bool = False,
        limit: int | None = None,
        max_depth: int | None = None,
        start: str | None = None,
    ) -> HierarchyPage:
        """A page of the tree, the space itself first. Raises Forbidden, InvalidParam."""
        limit = DEFAULT_LIMIT if limit is None else min(limit, MAX_LIMIT)
        depth = MAX_DEPTH if max_depth is None else min(max_depth, MAX_DEPTH)
        if limit < 1 or depth < 0:
            raise InvalidParam("`limit` must be positive, and `max_depth` not negative")
        skipped = _skipped(start, depth, suggested_only)
        walk = _Walk(who.user_id, suggested_only, depth, [_Next(room_id, (), 0)])
        space = await self._step(walk)
        if space is None:
            raise Forbidden("You may not see this room")
        rooms: list[Content] = [] if skipped else [space]
        shown = 1
        while walk.stack and shown < MAX_ROOMS:
            card = await self._step(walk)
            if card is None:
                continue
            if len(rooms) == limit:
                return HierarchyPage(rooms, f"h{shown}_{depth}_{int(suggested_only)}")
            shown += 1
            if shown > skipped:
                rooms.append(card)
        return HierarchyPage(rooms, None)

    async def for_server(self, server: ServerName, room_id: RoomID, *, suggested_only: bool) -> Content:
        """A space and its children as another server may see them. Raises NotFound."""
        head = await self._cards.participating(room_id)
        if head is None or not await self._cards.is_open_to_server(head, server):
            raise NotFound("The room is not known here, or not open to your users")
        children = await self._cards.children(head, suggested_only=suggested_only)
        room = {**await self._cards.card(head), "children_state": children}
        shown, inaccessible = [], []
        for child_id in dict.fromkeys(RoomID(child["state_key"]) for child in children):
            child_head = await self._cards.participating(child_id)
            if child_head is None:
                continue
            if not await self._cards.is_open_to_server(child_head, server):
                inaccessible.append(child_id)
                continue
            grandchildren = await self._cards.children(child_head, suggested_only=suggested_only)
            shown.append({**await self._cards.card(child_head), "children_state": grandchildren})
        return {"room": room, "children": shown, "inaccessible_children": inaccessible}

    async def _step(self, walk: _Walk) -> Content | None:
        """Look at the next room of the walk; what to show of it, if anything."""
        at = walk.stack.pop()
        if at.room_id in walk.seen:
            return None
        walk.seen.add(at.room_id)
        head = await self._cards.participating(at.room_id)
        told: dict[str, Content] = {}
        if head is not None:
            if not await self._cards.is_open_to(head, walk.user_id):
                return None
            children = await self._cards.children(head, suggested_only=walk.suggested_only)
            card = {**await self._cards.card(head), "children_state": children}
        else:
            found = await self._ask(walk, at)
            if found is None:
                return None
            card, told = found
            children = card["children_state"]
        if at.depth < walk.max_depth:
            for child in reversed(children):
                child_id = RoomID(child["state_key"])
                walk.stack.append(_Next(child_id, vias(child), at.depth + 1, told.get(child_id)))
        return card

    async def _ask(self, walk: _Walk, at: _Next) -> tuple[Content, dict[str, Content]] | None:
        """What other servers tell of a room, if the user may see it: its card, and those of its children."""
        if self._remote is None or at.room_id in walk.inaccessible or await self._cards.is_closed(at.room_id):
            return None
        card, told = at.told, {}
        if card is None or card.get("room_type") == SPACE:
            answer = await self._remote.hierarchy(
                at.room_id, at.via, walk.user_id, suggested_only=walk.suggested_only
            )
            if answer is not None:
                card = answer.room
                told = {child["room_id"]: child for child in answer.children}
                walk.inaccessible.update(answer.inaccessible)
        if card is None or not await self._remote.is_open_to(card, walk.user_id):
            return None
        children = ordered(card["children_state"], suggested_only=walk.suggested_only)
        return {**card, "children_state": children}, told


def _skipped(token: str | None, depth: int, suggested_only: bool) -> int:
    """How many rooms the pages before had."""
    if token is None:
        return 0
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise InvalidParam("Not a token of this list")
    if (int(match[2]), match[3] == "1") != (depth, suggested_only):
        raise InvalidParam("`suggested_only` and `max_depth` must stay the same from page to page")
    return int(match[1])
