"""Deleting rooms, as administrators ask for it: what they ask goes on record, and `deletion_steps` does it.

https://element-hq.github.io/synapse/latest/admin_api/rooms.html#delete-room-api
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from homeserver.clock import Clock, Randomness
from homeserver.protocol.errors import InvalidParam, NotFound, Unknown
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, server_of
from storage.database import Database
from storage.tables.room_deletions import BlockedRooms, Deletion
from storage.tables.room_deletions import RoomDeletions as Stored
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

__all__ = ["Deletion", "DeletionWish", "RoomDeletions"]

NAME: Final = "Content Violation Notification"
MESSAGE: Final = (
    "Sharing illegal content on this server is not permitted and rooms in violation will be blocked."
)
ENDS: Final = frozenset(("complete", "failed"))
LOOK_AGAIN_S: Final = 1.0
"""How late it is noticed that a deletion has ended, maybe by another node."""
_ID_LETTERS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionWish:
    """How a room is to be deleted. Our users who are in it find themselves in a new room of ``new_room_user_id``, if
    there is one. ``force_purge``: remove it also if users of ours could not be made to leave.
    """

    block: bool = False
    purge: bool = True
    force_purge: bool = False
    new_room_user_id: UserID | None = None
    room_name: str = NAME
    message: str = MESSAGE


class RoomDeletions:
    """Takes down what is to be deleted, and says how far that is. ``by`` is who asks, as it goes on record."""

    def __init__(self, server_name: ServerName, database: Database, clock: Clock, random: Randomness) -> None:
        self._server_name = server_name
        self._database = database
        self._clock = clock
        self._random = random
        self._begun: list[Callable[[], None]] = []

    def when_begun(self, wake: Callable[[], None]) -> None:
        """Call when there is something to delete."""
        self._begun.append(wake)

    async def begin(self, room_id: RoomID, by: str, wish: DeletionWish) -> str:
        """Delete a room; the ID by which to ask how far that is. Raises InvalidParam, and Unknown for a room that is
        being deleted already.
        """
        user_id = wish.new_room_user_id
        if user_id is not None and server_of(user_id) != self._server_name:
            raise InvalidParam("new_room_user_id is not a user of this server")
        delete_id, now = self._random.letters(_ID_LETTERS), self._clock.now_ms()

        def write(tx: Transaction) -> int:
            if wish.block:
                BlockedRooms(tx).add(room_id, by, now)
            return Stored(tx).add(
                delete_id,
                room_id,
                by,
                now,
                wish.purge,
                wish.force_purge,
                user_id,
                wish.room_name,
                wish.message,
            )

        if not await self._database.transact(write):
            raise Unknown(f"{room_id} is being deleted already")
        log.info("room_deletion_begun", room_id=room_id, by=by, delete_id=delete_id, purge=wish.purge)
        for wake in self._begun:
            wake()
        return delete_id

    async def find(self, delete_id: str) -> Deletion:
        """How far a deletion is. Raises NotFound."""
        found = await self._database.read(lambda tx: Stored(tx).find(delete_id))
        if found is None:
            raise NotFound("There is no such deletion")
        return found

    async def finished(self, delete_id: str) -> Deletion:
        """The same, once it is complete or has failed. Raises NotFound."""
        while (deletion := await self.find(delete_id)).stage not in ENDS:
            await self._clock.sleep(LOOK_AGAIN_S)
        return deletion

    async def of_room(self, room_id: RoomID) -> list[Deletion]:
        """How far the deletions of a room are, the first one first. Raises NotFound if there were none lately."""
        found = await self._database.read(lambda tx: Stored(tx).of_room(room_id))
        if not found:
            raise NotFound("This room is not being deleted")
        return found

    async def block(self, room_id: RoomID, by: str, blocked: bool) -> None:
        """Keep our users from entering a room, known here or not, or no more."""
        now = self._clock.now_ms()

        def write(tx: Transaction) -> None:
            if blocked:
                BlockedRooms(tx).add(room_id, by, now)
            else:
                BlockedRooms(tx).remove(room_id)

        await self._database.transact(write)

    async def blocked_by(self, room_id: RoomID) -> str | None:
        """Who blocked a room; None if nobody did."""
        return await self._database.read(lambda tx: BlockedRooms(tx).blocked_by(room_id))
