"""Room aliases, and the rules of `m.room.canonical_alias`.

https://spec.matrix.org/v1.19/client-server-api/#room-aliases
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.protocol.errors import (
    AlreadyExists,
    BadAlias,
    Forbidden,
    InvalidParam,
    MatrixError,
    NotFound,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomAlias, RoomID, ServerName, is_room_alias, server_of
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.access import Access
from homeserver.services.rooms.actions import RoomActions, require_not_suspended
from homeserver.services.rooms.local_events import EventIntent
from homeserver.services.rooms.powers import power_levels_of
from homeserver.services.rooms.remote import RemoteMembership
from storage.database import Database
from storage.tables.rooms import Aliases as StoredAliases
from storage.tables.rooms import Rooms

CANONICAL_ALIAS = "m.room.canonical_alias"


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where an alias leads: a room, and servers that are in it."""

    room_id: RoomID
    servers: Sequence[ServerName]


class Aliases:
    """Aliases of this server, and through other servers those of theirs."""

    def __init__(
        self,
        server_name: ServerName,
        database: Database,
        access: Access,
        actions: RoomActions,
        remote: RemoteMembership | None = None,
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._access = access
        self._actions = actions
        self._remote = remote

    async def resolve(self, alias: RoomAlias) -> Resolved:
        """The room of an alias. Raises NotFound, BadGateway."""
        if server_of(alias) != self._server_name:
            if self._remote is None:
                raise NotFound("Room alias not found")
            return Resolved(*await self._remote.resolve_alias(alias))
        return await self.resolve_local(alias)

    async def shown(self, alias: RoomAlias) -> Resolved:
        """`resolve`, for whoever only looks: a room that nobody may enter from here is not shown."""
        resolved = await self.resolve(alias)
        if await self._actions.closed.is_closed(resolved.room_id):
            raise NotFound("Room alias not found")
        return resolved

    async def resolve_local(self, alias: RoomAlias) -> Resolved:
        """The room of an alias of this server. Raises NotFound."""
        row = await self._database.read(lambda tx: StoredAliases(tx).find(alias))
        if row is None:
            raise NotFound("Room alias not found")
        servers = await self._database.read(lambda tx: Rooms(tx).servers(row.room_id))
        others = sorted(server for server in servers if server != self._server_name)
        return Resolved(row.room_id, (self._server_name, *others))

    async def create(self, who: Requester, alias: RoomAlias, room_id: RoomID) -> None:
        """Point a new alias of this server to a room that the user is in. Raises Forbidden, InvalidParam,
        AlreadyExists.
        """
        require_not_suspended(who)
        if server_of(alias) != self._server_name:
            raise InvalidParam("The alias is not one of this server")
        await self._access.require_joined(room_id, who.user_id)
        if not await self._database.transact(lambda tx: StoredAliases(tx).add(alias, room_id, who.user_id)):
            raise AlreadyExists("Room alias already exists")

    async def delete(self, who: Requester, alias: RoomAlias) -> None:
        """Remove an alias: its maker may, and whoever may set the canonical alias of the room. The room's
        canonical aliases lose it too. Raises NotFound, Forbidden.
        """
        row = await self._database.read(lambda tx: StoredAliases(tx).find(alias))
        if row is None:
            raise NotFound("Room alias not found")
        if row.creator != who.user_id and not who.is_admin and not await self._may_set(who, row.room_id):
            raise Forbidden("You may not remove this alias")
        await self._database.transact(lambda tx: StoredAliases(tx).remove(alias))
        await self._strike(who, row.room_id, alias)

    async def of_room(self, who: Requester, room_id: RoomID) -> list[RoomAlias]:
        """The aliases of this server that lead to a room. Raises Forbidden for who may not read it."""
        standing = await self._access.standing(room_id, who.user_id)
        if standing.upto is not None:
            raise Forbidden("You are not in this room")
        rows = await self._database.read(lambda tx: StoredAliases(tx).of_room(room_id))
        return [row.alias for row in rows]

    async def check_canonical(self, room_id: RoomID, content: dict[str, Any], current: Event | None) -> None:
        """Check `m.room.canonical_alias` as a client wants to set it. Raises InvalidParam, BadAlias.

        What is in the current event already is not checked again.
        https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey"""
        if not isinstance(content.get("alt_aliases", []), list):
            raise InvalidParam("`alt_aliases` must be a list")
        known = set() if current is None else set(_named(current.content))
        for alias in _named(content):
            if not isinstance(alias, str) or not is_room_alias(alias):
                raise InvalidParam("Not a room alias")
            if alias in known:
                continue
            try:
                resolved = await self.resolve(RoomAlias(alias))
            except MatrixError:
                raise BadAlias(f"Room alias {alias} does not exist") from None
            if resolved.room_id != room_id:
                raise BadAlias(f"Room alias {alias} does not point to this room")

    async def _may_set(self, who: Requester, room_id: RoomID) -> bool:
        head = await self._actions.heads.find(room_id)
        if head is None:
            return False
        if await self._access.membership(room_id, who.user_id) != "join":
            return False
        levels = await power_levels_of(self._actions.states, head)
        return levels.user(who.user_id) >= levels.required(CANONICAL_ALIAS, is_state=True)

    async def _strike(self, who: Requester, room_id: RoomID, alias: RoomAlias) -> None:
        """Take the alias out of the room's canonical aliases, if the user may."""
        head = await self._actions.heads.find(room_id)
        current = None if head is None else await self._actions.states.find(head.state, CANONICAL_ALIAS)
        if current is None or alias not in _named(current.event.content):
            return
        content = dict(current.event.content)
        if content.get("alias") == alias:
            del content["alias"]
        others = [other for other in _alt_aliases(content) if other != alias]
        content.pop("alt_aliases", None)
        if others:
            content["alt_aliases"] = others
        try:
            await self._actions.put_state(room_id, EventIntent(CANONICAL_ALIAS, content, who.user_id, ""))
        except Forbidden:
            return


def _named(content: dict[str, Any]) -> list[Any]:
    """All that the content names as aliases."""
    alias = content.get("alias")
    return ([] if alias in (None, "") else [alias]) + _alt_aliases(content)


def _alt_aliases(content: dict[str, Any]) -> list[Any]:
    others = content.get("alt_aliases")
    return others if isinstance(others, list) else []
