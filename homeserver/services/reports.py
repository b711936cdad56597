"""Reports of rooms, events and users to the administrators.

https://spec.matrix.org/v1.19/client-server-api/#reporting-content
"""

from homeserver.clock import Clock
from homeserver.protocol.errors import InvalidParam, NotFound
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID, server_of
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.access import Access
from storage.database import Database
from storage.tables.reports import Report
from storage.tables.reports import Reports as StoredReports
from storage.tables.rooms import Rooms
from storage.tables.users import Users

MAX_REASON = 10_000
"""Characters."""


class Reports:
    """Takes reports, and keeps them until they are deleted."""

    def __init__(self, server_name: ServerName, database: Database, access: Access, clock: Clock) -> None:
        self._server_name = server_name
        self._database = database
        self._access = access
        self._clock = clock

    async def event(self, who: Requester, room_id: RoomID, event_id: EventID, reason: str) -> None:
        """Report an event of a room that the user is in. Raises NotFound, InvalidParam."""
        if await self._access.membership(room_id, who.user_id) != "join":
            raise NotFound("The event was not found, or you are not in the room")
        seen = await self._access.event(room_id, who.user_id, event_id)
        await self._add(who, reason, room_id, event_id, seen.stored.event.sender)

    async def room(self, who: Requester, room_id: RoomID, reason: str) -> None:
        """Report a room, whether the user is in it or not. Raises NotFound, InvalidParam."""
        if await self._database.read(lambda tx: Rooms(tx).head(room_id)) is None:
            raise NotFound("The room was not found")
        await self._add(who, reason, room_id, None, None)

    async def user(self, who: Requester, user_id: UserID, reason: str) -> None:
        """Report a user. Whether a user of this server exists is not told. Raises InvalidParam."""
        if server_of(user_id) == self._server_name:
            if await self._database.read(lambda tx: Users(tx).account(user_id)) is None:
                _check(reason)
                return
        await self._add(who, reason, None, None, user_id)

    async def page(self, before: int, limit: int) -> list[Report]:
        """The latest reports before one of them, by its number."""
        return await self._database.read(lambda tx: StoredReports(tx).page(before, limit))

    async def _add(
        self,
        who: Requester,
        reason: str,
        room_id: RoomID | None,
        event_id: EventID | None,
        user_id: UserID | None,
    ) -> None:
        _check(reason)
        now = self._clock.now_ms()
        await self._database.transact(
            lambda tx: StoredReports(tx).add(now, who.user_id, room_id, event_id, user_id, reason)
        )


def _check(reason: str) -> None:
    if len(reason) > MAX_REASON or "\0" in reason:
        raise InvalidParam(f"A reason has at most {MAX_REASON} characters, and no NUL among them")
