"""The directory of published rooms.

https://spec.matrix.org/v1.19/client-server-api/#published-room-directory
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from homeserver.protocol.errors import Forbidden, InvalidParam, NotFound
from homeserver.protocol.identifiers import RoomID, ServerName
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.access import Access
from homeserver.services.rooms.actions import RoomActions, require_not_suspended
from homeserver.services.rooms.aliases import CANONICAL_ALIAS
from homeserver.services.rooms.powers import power_levels_of
from homeserver.services.rooms.remote import RemoteDirectory
from storage.database import Database
from storage.tables.directory import PublicRoomRow, PublicRooms
from storage.tables.rooms import Rooms
from storage.transaction import Transaction

MAX_LIMIT = 500
_TOKEN = re.compile(r"([fb])([0-9]{1,9})_(!.{1,254})", re.DOTALL)


class Place(NamedTuple):
    """A place in the directory, which lists the largest rooms first, and the direction to read in."""

    joined_members: int
    room_id: str
    backwards: bool = False


_TOP = Place(2**31 - 1, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryQuery:
    """Which rooms to list. ``room_types`` may contain None, for rooms without a type; None: all."""

    limit: int | None = None
    since: str | None = None
    search: str | None = None
    room_types: Sequence[str | None] | None = None


@dataclass(frozen=True, slots=True)
class DirectoryPage:
    """A page of the directory, with the tokens of the pages around it, and an estimate of all."""

    rooms: Sequence[PublicRoomRow]
    next_batch: str | None
    prev_batch: str | None
    total: int


class Directory:
    """Lists published rooms, and publishes."""

    def __init__(
        self,
        server_name: ServerName,
        database: Database,
        access: Access,
        actions: RoomActions,
        remote: RemoteDirectory | None = None,
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._access = access
        self._actions = actions
        self._remote = remote

    async def page(self, query: DirectoryQuery) -> DirectoryPage:
        """A page of this server's directory. Raises InvalidParam for a token that is none."""
        limit = min(query.limit or MAX_LIMIT, MAX_LIMIT)  # 0 stands for no wish, as clients have it
        if limit < 1:
            raise InvalidParam("`limit` must be positive")
        place = _TOP if not query.since else _place(query.since)
        rows, total = await self._database.read(lambda tx: _read(tx, query, place, limit + 1))
        more = len(rows) > limit
        rows = rows[:limit]
        has_next, has_previous = more, place is not _TOP
        if place.backwards:
            rows.reverse()
            has_next, has_previous = True, more
        return DirectoryPage(
            rows,
            _token(rows[-1], "f") if has_next and rows else None,
            _token(rows[0], "b") if has_previous and rows else None,
            total,
        )

    async def remote_page(self, server: ServerName, request: dict[str, Any]) -> dict[str, Any] | None:
        """A page of another server's directory as it gave it; None if the server is this one. Raises
        NotFound, BadGateway.
        """
        if server == self._server_name:
            return None
        if self._remote is None:
            raise NotFound("This server does not federate")
        return await self._remote.public_rooms(server, request)

    async def is_published(self, room_id: RoomID) -> bool:
        """Whether a room is in the directory. Raises NotFound."""
        published = await self._database.read(lambda tx: Rooms(tx).published(room_id))
        if published is None:
            raise NotFound("Room not found")
        return published

    async def publish(self, who: Requester, room_id: RoomID, published: bool) -> None:
        """List a room or take it off: whoever may set its canonical alias may do that. Raises NotFound,
        Forbidden.
        """
        require_not_suspended(who)
        head = await self._actions.heads.find(room_id)
        if head is None:
            raise NotFound("Room not found")
        if not who.is_admin:
            await self._access.require_joined(room_id, who.user_id)
            levels = await power_levels_of(self._actions.states, head)
            if levels.user(who.user_id) < levels.required(CANONICAL_ALIAS, is_state=True):
                raise Forbidden("You may not publish this room")
        await self._database.transact(lambda tx: Rooms(tx).publish(room_id, published))


def _read(
    tx: Transaction, query: DirectoryQuery, place: Place, limit: int
) -> tuple[list[PublicRoomRow], int]:
    table = PublicRooms(tx)
    types = query.room_types or ()
    read = table.before if place.backwards else table.after
    rows = read(
        place.joined_members,
        place.room_id,
        None if query.search is None else f"%{_escaped(query.search)}%",
        query.room_types is None,
        [room_type for room_type in types if room_type is not None],
        None in types,
        limit,
    )
    return rows, table.total()


def _escaped(text: str) -> str:
    """The text as ILIKE finds it literally."""
    return re.sub(r"([\\%_])", r"\\\1", text.replace("\0", ""))


def _token(row: PublicRoomRow, direction: str) -> str:
    return f"{direction}{row.joined_members}_{row.room_id}"


def _place(token: str) -> Place:
    match = _TOKEN.fullmatch(token)
    if match is None or "\0" in token:
        raise InvalidParam("Not a token of the room directory")
    return Place(int(match[2]), match[3], match[1] == "b")
