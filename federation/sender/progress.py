"""How far everybody is, on record: what was delivered since is delivered again after a crash, which harms nobody."""

from collections.abc import Callable, Mapping
from typing import Final

import structlog
from twisted.internet.defer import Deferred

from homeserver.clock import Clock, Timer
from homeserver.protocol.identifiers import ServerName
from storage.database import Database
from storage.leases import Lease
from storage.tables.outbox import LAGGING, Outbox
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

NOTE_EVERY_S: Final = 1.0
"""How often progress is put on record."""

Standing = Callable[[], tuple[int, Mapping[ServerName, int]]]
"""The position up to which everybody has had everything, but for some servers, which are named with theirs."""


class Progress:
    """Reads it, and writes it every now and then."""

    def __init__(
        self, database: Database, clock: Clock, standing: Standing, noted: Callable[[], None]
    ) -> None:
        """``noted`` is called each time that the standing is on record."""
        self._database = database
        self._clock = clock
        self._standing = standing
        self._noted = noted
        self._lease: Lease | None = None
        self._recorded: dict[ServerName, int] = {}
        self._recorded_progress = 0
        self._timer: Timer | None = None
        self._noting: Deferred[None] | None = None
        self._running = False

    async def load(self, lease: Lease | None) -> tuple[int, Mapping[ServerName, int]]:
        """What is on record; who holds the lease, if there is one, may write."""
        self._lease = lease
        progress = await self._database.read(lambda tx: Outbox(tx).progress())
        self._recorded_progress = progress
        self._recorded = dict(await self._database.read(lambda tx: Outbox(tx).lagging()))
        self._running = True
        return progress, self._recorded

    async def stop(self, *, write: bool = True) -> None:
        """Write no more, after this once."""
        running, self._running = self._running and write, False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._noting is not None:
            await self._noting
        if running:
            await self._note()

    def soon(self) -> None:
        """The standing changed."""
        if self._timer is None and self._running:
            self._timer = self._clock.call_later(NOTE_EVERY_S, self._now)

    def _now(self) -> None:
        self._timer = None
        if self._noting is not None:
            self.soon()  # what changed since it began is for the next one
            return
        self._noting = Deferred.fromCoroutine(self._note())
        _ = self._noting.addBoth(self._ended)  # which may be at once

    def _ended(self, result: None) -> None:
        self._noting = None

    async def _note(self) -> None:
        """Record how far everybody is. A server that is behind is on record before the common progress passes
        what it is owed.
        """
        progress, standing = self._standing()
        behind = dict(standing)
        changed = [
            (destination, pos)
            for destination, pos in behind.items()
            if self._recorded.get(destination) != pos
        ]
        caught_up = [destination for destination in self._recorded if destination not in behind]
        if changed or caught_up or progress != self._recorded_progress:
            try:
                await self._database.transact(lambda tx: self._write(tx, progress, changed, caught_up))
            except Exception:
                log.exception("progress of deliveries could not be recorded")
                self.soon()
                return
            self._recorded = behind
            self._recorded_progress = progress
        self._noted()

    def _write(
        self,
        tx: Transaction,
        progress: int,
        changed: list[tuple[ServerName, int]],
        caught_up: list[ServerName],
    ) -> None:
        if self._lease is not None:
            self._lease.fence(tx)
        LAGGING.execute(tx, changed)
        outbox = Outbox(tx)
        if caught_up:
            outbox.caught_up(caught_up)
        outbox.set_progress(progress)
        outbox.drop_extra(progress)
