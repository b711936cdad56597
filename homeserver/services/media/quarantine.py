"""What administrators keep from everybody: bytes that they forbid, under every address and when they come again."""

from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from homeserver.clock import Clock
from homeserver.protocol.errors import Forbidden, InvalidParam, NotFound
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, server_of
from homeserver.services.media.inventory import Inventory
from homeserver.services.media.model import MediaName
from storage.database import Database
from storage.tables.media import Media, MediaRows
from storage.tables.media_quarantine import MediaQuarantine, QuarantineChange
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

__all__ = ["Quarantine", "QuarantineChange"]

CHANGES_AT_ONCE: Final = 100
_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Forbids bytes, and lets go of them. Addresses that are protected stay open.

    `by` is who does it, as it goes on record.
    """

    server_name: ServerName
    database: Database
    inventory: Inventory
    clock: Clock

    async def address(self, name: MediaName, by: str) -> int:
        """Forbid the bytes of an address; how many addresses that closes. Raises NotFound, Forbidden."""
        media = await self._media(name)
        if media.protected:
            raise Forbidden("This media is protected from quarantine")
        return await self._forbid([_hash(media)], by)

    async def release(self, name: MediaName) -> int:
        """Let go of the bytes of an address; how many addresses that opens. Raises NotFound."""
        return await self._allow([_hash(await self._media(name))])

    async def content(self, sha256: str, by: str) -> int:
        """Forbid bytes, known here or not; how many addresses that closes."""
        return await self._forbid([sha256], by)

    async def release_content(self, sha256: str) -> int:
        """Let go of bytes; how many addresses that opens. Raises NotFound for what is not forbidden."""
        if not await self.database.read(lambda tx: MediaQuarantine(tx).is_forbidden(sha256)):
            raise NotFound("These bytes are not forbidden")
        return await self._allow([sha256])

    async def user(self, user_id: UserID, by: str) -> int:
        """Forbid all that a user of ours uploaded; how many addresses that closes. Raises InvalidParam."""
        if server_of(user_id) != self.server_name:
            raise InvalidParam("The user is not of this server")
        closed, after = 0, ""
        while hashes := await self._of_user(user_id, after):
            closed += await self._forbid(hashes, by)
            after = hashes[-1]
        return closed

    async def room(self, room_id: RoomID, by: str) -> int:
        """Forbid what the events of a room show, as far as they can be read and it is here; how many addresses that
        closes. Avatars of members are not meant.
        """
        closed = 0
        async for names in self.inventory.shown_in(room_id):
            origins, media_ids = [each.origin for each in names], [each.media_id for each in names]
            hashes = await self.database.read(
                partial(_hashes_of, origins=list[str](origins), media_ids=list[str](media_ids))
            )
            closed += await self._forbid(hashes, by)
        return closed

    async def protect(self, name: MediaName, protected: bool) -> None:
        """Let an address stay open whatever is forbidden from now on, or not any more. Raises NotFound."""
        if not await self.database.transact(
            lambda tx: MediaQuarantine(tx).protect(name.origin, name.media_id, protected)
        ):
            raise NotFound(f"There is no {name}")

    async def changes(self, after: int) -> list[QuarantineChange]:
        """What was closed and opened, in order, after a change of that number."""
        last = min(after, (1 << 63) - 1)
        return await self.database.read(lambda tx: MediaQuarantine(tx).changes(last, CHANGES_AT_ONCE))

    async def _media(self, name: MediaName) -> Media:
        media = await self.database.read(lambda tx: MediaRows(tx).find(name.origin, name.media_id))
        if media is None or media.sha256 is None:
            raise NotFound(f"There is no {name}")
        return media

    async def _of_user(self, user_id: UserID, after: str) -> list[str]:
        return await self.database.read(lambda tx: MediaQuarantine(tx).hashes_of_user(user_id, after, _PAGE))

    async def _forbid(self, hashes: list[str], by: str) -> int:
        if not hashes:
            return 0
        now = self.clock.now_ms()

        def forbid(tx: Transaction) -> int:
            table = MediaQuarantine(tx)
            table.lock()
            table.lock_contents(hashes)
            table.forbid(hashes, by, now)
            return table.quarantine(hashes, by, now)

        closed = await self.database.transact(forbid)
        log.info("media_forbidden", by=by, hashes=len(hashes), addresses=closed)
        return closed

    async def _allow(self, hashes: list[str]) -> int:
        now = self.clock.now_ms()

        def allow(tx: Transaction) -> int:
            table = MediaQuarantine(tx)
            table.lock()
            table.lock_contents(hashes)
            table.allow(hashes)
            return table.release(hashes, now)

        return await self.database.transact(allow)


def _hash(media: Media) -> str:
    if media.sha256 is None:
        raise NotFound("There is no such media")
    return media.sha256


def _hashes_of(tx: Transaction, origins: list[str], media_ids: list[str]) -> list[str]:
    return MediaQuarantine(tx).hashes_of(origins, media_ids)
