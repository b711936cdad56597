"""Which files came to the disk after their rows: that is put on record a little later, for many of them at once.

What is not on record yet this node knows by itself; after a crash, and on other nodes, such files are not trusted.
"""

from typing import Final

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.clock import Clock, Timer
from storage.database import Database
from storage.tables.media_contents import Content, MediaContents
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

LATER_S: Final = 3.0


class Settling:
    """Knows them. `stop` it at the end."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._files: set[str] = set()
        self._timer: Timer | None = None

    def note(self, file: str) -> None:
        """A file came to the disk."""
        self._files.add(file)
        if self._timer is None:
            self._timer = self._clock.call_later(LATER_S, self._begin)

    def is_settled(self, content: Content) -> bool:
        """Whether the bytes are known to be on the disk."""
        return content.settled or content.file in self._files

    async def flush(self) -> None:
        """Put it on record now."""
        files = list(self._files)

        def settle(tx: Transaction) -> None:
            MediaContents(tx).commit_lazily()
            MediaContents(tx).settle(files)

        if files:
            await self._database.transact(settle)
            self._files.difference_update(files)

    async def stop(self) -> None:
        """Put it on record for the last time."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        await self.flush()

    def _begin(self) -> None:
        self._timer = None
        _ = Deferred.fromCoroutine(self.flush()).addErrback(_failed)


def _failed(failure: Failure) -> None:
    """They are put on record with the next ones, or after a restart."""
    log.warning("files not settled", error=repr(failure.value))
