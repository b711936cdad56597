"""The summary of one room, by its ID or alias.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias
"""

from collections.abc import Sequence

from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import (
    RoomAlias,
    RoomID,
    RoomIDOrAlias,
    ServerName,
    UserID,
    is_room_id,
    server_of,
)
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.aliases import Aliases
from homeserver.services.rooms.remote_cards import RemoteCards
from homeserver.services.rooms.room_cards import Content, RoomCards
from storage.database import Database
from storage.tables.memberships import Memberships


class RoomSummaries:
    """Summaries of rooms of this server, and for users those of others."""

    def __init__(
        self,
        server_name: ServerName,
        database: Database,
        cards: RoomCards,
        aliases: Aliases,
        remote: RemoteCards | None = None,
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._cards = cards
        self._aliases = aliases
        self._remote = remote

    async def summary(
        self, who: Requester | None, place: RoomIDOrAlias, via: Sequence[ServerName]
    ) -> Content:
        """What a user, or somebody without an account, may know of a room. Raises NotFound."""
        room_id, servers = await self._place(who, place, via)
        head = await self._cards.participating(room_id)
        if who is None:
            if head is None or not await self._cards.is_open_to_all(head):
                raise NotFound("Room not found")
            return await self._cards.card(head)
        user_id = who.user_id
        if head is not None:
            if not await self._cards.is_open_to(head, user_id):
                raise NotFound("Room not found")
            card = await self._cards.card(head)
        else:
            card = await self._remote_card(room_id, servers, user_id)
        row = await self._database.read(lambda tx: Memberships(tx).find(room_id, user_id))
        return {**card, "membership": "leave" if row is None else row.membership}

    async def _place(
        self, who: Requester | None, place: RoomIDOrAlias, via: Sequence[ServerName]
    ) -> tuple[RoomID, Sequence[ServerName]]:
        if is_room_id(place):
            return RoomID(place), via
        alias = RoomAlias(place)
        if who is None and server_of(alias) != self._server_name:
            raise NotFound("Room not found")
        resolved = await self._aliases.resolve(alias)
        return resolved.room_id, tuple(dict.fromkeys((*via, *resolved.servers)))

    async def _remote_card(self, room_id: RoomID, via: Sequence[ServerName], user_id: UserID) -> Content:
        if self._remote is None or await self._cards.is_closed(room_id):
            raise NotFound("Room not found")
        answer = await self._remote.hierarchy(room_id, via, user_id)
        if answer is None or not await self._remote.is_open_to(answer.room, user_id):
            raise NotFound("Room not found")
        return {key: value for key, value in answer.room.items() if key != "children_state"}
