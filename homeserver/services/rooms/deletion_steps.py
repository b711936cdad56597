"""Doing what `deletion` has on record, a piece at a time, on the node that holds the lease.

A room goes through stages, each of which is on record before it begins: its users leave (*emptying*), other servers and
whoever is just being brought in are waited for (*settling*), what shows the room goes and requests under way come to
their end (*hiding*), everything else goes (*purging*), and all nodes forget what they had in memory (*forgetting*)
before the room may come back. A node that takes over goes on with the stage.
"""

from collections.abc import Callable
from typing import Final

import structlog
from twisted.internet.defer import CancelledError

from homeserver.clock import Clock
from homeserver.protocol.identifiers import RoomID, ServerName
from homeserver.services.rooms.emptying import Emptying
from homeserver.services.rooms.purging import Removal
from storage.database import Database, DatabaseUnavailable
from storage.tables.room_deletions import Deletion, RoomDeletions
from storage.tables.room_farewells import Farewells
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

PATIENCE_MS: Final = 600_000
"""Other servers that cannot be told for so long that our users left are waited for no more."""
FORCED_PATIENCE_MS: Final = 10_000
NODES_MS: Final = 10_000
"""So long may somebody still read what they asked for when the room was there, and other nodes believe that it is."""
KEPT_MS: Final = 30 * 24 * 3600 * 1000
"""How long it can be asked what became of a deletion."""
FAREWELL_MS: Final = 90 * 24 * 3600 * 1000
"""How long clients may be away and still be told that their user left."""


class DeletionSteps:
    """Goes on with all deletions, in turns."""

    def __init__(
        self,
        server_name: ServerName,
        database: Database,
        emptying: Emptying,
        removal: Callable[[RoomID], Removal],
        clock: Clock,
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._emptying = emptying
        self._removal = removal
        self._clock = clock
        self._removals: dict[str, Removal] = {}

    async def do_some(self) -> bool | None:
        """Do a piece of each; whether there is more to do at once. None if nothing is to be deleted."""
        under_way = await self._database.read(lambda tx: RoomDeletions(tx).under_way())
        if not under_way:
            return None
        busy = False
        for deletion in under_way:
            try:
                busy |= await self._go_on(deletion)
            except (CancelledError, DatabaseUnavailable):
                raise  # nothing is wrong with the deletion: it is gone on with later
            except Exception as error:
                log.exception("room_deletion_failed", room_id=deletion.room_id)
                await self._finish(deletion, "failed", repr(error))
        return busy

    async def forget_old(self) -> None:
        """Drop what is on record of deletions that ended long ago, and farewells that no client asked for."""
        now = self._clock.now_ms()

        def forget(tx: Transaction) -> None:
            RoomDeletions(tx).forget(now - KEPT_MS)
            Farewells(tx).expire(now - FAREWELL_MS)

        await self._database.transact(forget)

    async def _go_on(self, deletion: Deletion) -> bool:
        match deletion.stage:
            case "waiting":
                await self._enter(deletion, "emptying")
                return True
            case "emptying":
                return await self._empty(deletion)
            case "settling":
                return await self._settle(deletion)
            case "hiding":
                return await self._hide(deletion)
            case "purging":
                return await self._purge(deletion)
            case _:
                return await self._forget(deletion)

    async def _empty(self, deletion: Deletion) -> bool:
        if await self._emptying.do_some(deletion):
            return True
        if not deletion.purge:
            await self._finish(deletion, "complete")
        elif deletion.stayed_users and not deletion.force:
            await self._finish(deletion, "failed", "Not all users could be made to leave")
        else:
            await self._enter(deletion, "settling")
        return True

    async def _settle(self, deletion: Deletion) -> bool:
        now = self._clock.now_ms()
        patience = FORCED_PATIENCE_MS if deletion.force else PATIENCE_MS
        if now - deletion.stage_ts < patience and await self._database.read(
            lambda tx: RoomDeletions(tx).unsettled(deletion.room_id, self._server_name, now)
        ):
            return False
        await self._enter(deletion, "hiding")
        return True

    async def _hide(self, deletion: Deletion) -> bool:
        if not await self._removal_of(deletion).hide_some():
            await self._enter(deletion, "purging")
        return True

    async def _purge(self, deletion: Deletion) -> bool:
        if self._clock.now_ms() - deletion.stage_ts < NODES_MS:
            return False
        if not await self._removal_of(deletion).remove_some():
            await self._enter(deletion, "forgetting")
        return True

    async def _forget(self, deletion: Deletion) -> bool:
        if self._clock.now_ms() - deletion.stage_ts < NODES_MS:
            return False
        await self._finish(deletion, "complete")
        return True

    def _removal_of(self, deletion: Deletion) -> Removal:
        removal = self._removals.get(deletion.delete_id)
        if removal is None:
            removal = self._removals[deletion.delete_id] = self._removal(deletion.room_id)
        return removal

    async def _enter(self, deletion: Deletion, stage: str) -> None:
        now = self._clock.now_ms()
        await self._database.transact(lambda tx: RoomDeletions(tx).enter(deletion.delete_id, stage, now))

    async def _finish(self, deletion: Deletion, stage: str, error: str | None = None) -> None:
        self._removals.pop(deletion.delete_id, None)
        now = self._clock.now_ms()
        await self._database.transact(
            lambda tx: RoomDeletions(tx).finish(deletion.delete_id, stage, error, now)
        )
        log.info("room_deletion_ended", room_id=deletion.room_id, outcome=stage, error=error)
