"""The contents of media: the same bytes are kept once, and as long as something refers to them.

A file is there before the row that names it, and the row is gone before its file is deleted. A crash in between
leaves a file without a row, which costs nothing but space (`homeserver media check` finds it), and never a row
without its file. Names of files are not used again, so that bytes which come back while their old file is about to be
deleted get a new one.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from twisted.internet.defer import CancelledError

from homeserver.clock import Clock, Randomness
from homeserver.gateways.media_files import FileLost, MediaFiles, Reading
from homeserver.gateways.media_spool import Incoming, Spool, Spooled
from homeserver.protocol.errors import MatrixError
from homeserver.services.media.metrics import STORAGE_ERRORS
from storage.database import Database
from storage.tables.media_contents import Content, MediaContents
from storage.transaction import Transaction

T = TypeVar("T")

UNUSED_MS: Final = 3_600_000
"""Bytes that nothing refers to any more are kept this long, in case somebody brings them again."""
ABANDONED_S: Final = 48 * 3600
_PAGE: Final = 100


class Library:
    """Keeps contents, gives them, and deletes what nothing needs."""

    def __init__(
        self, database: Database, files: MediaFiles, spool: Spool, clock: Clock, random: Randomness
    ) -> None:
        self._database = database
        self._files = files
        self._spool = spool
        self._clock = clock
        self._random = random

    def begin(self, limit: int) -> Incoming:
        """Begin to take bytes, at most so many."""
        return self._spool.begin(limit)

    async def keep(self, whole: Spooled, refer: Callable[[Transaction], T]) -> T:
        """Keep the bytes of a temporary file; `refer` makes what refers to them, in the same transaction."""
        if await self._database.read(lambda tx: MediaContents(tx).find(whole.sha256)) is not None:
            known = await self._database.transact(lambda tx: _referred(tx, whole.sha256, refer))
            if known is not None:
                await self._spool.discard(whole.path)
                return known[0]
        name = f"{whole.sha256}.{self._random.letters(8)}"
        with _counted("keep"):
            await self._files.keep(name, whole.path)
        now = self._clock.now_ms()

        def add(tx: Transaction) -> tuple[T, bool]:
            added = MediaContents(tx).add(whole.sha256, whole.size, name, now)
            return refer(tx), bool(added)

        try:
            referred, ours = await self._database.transact(add)
        except MatrixError:
            await self._files.delete(name)
            raise
        if not ours:
            await self._files.delete(name)
        return referred

    async def adopt(self, path: Path) -> Spooled:
        """Take a whole temporary file that somebody else made, at a `place`."""
        return await self._spool.adopt(path)

    def place(self) -> Path:
        """Where somebody else may make a temporary file."""
        return self._spool.path()

    async def discard(self, path: Path) -> None:
        """Delete a temporary file."""
        await self._spool.discard(path)

    async def open(self, file: str, start: int, length: int) -> Reading:
        """Read bytes. Raises FileLost."""
        with _counted("read"):
            return await self._files.open(file, start, length)

    def public_url(self, file: str, content_type: str, disposition: str) -> str | None:
        """Where a client can fetch a file by itself, if there is such a place."""
        return self._files.public_url(file, content_type, disposition)

    def borrow(self, file: str) -> AbstractAsyncContextManager[Path]:
        """Have a file on this machine for a while. Raises FileLost."""
        return self._files.borrow(file)

    async def clean_incoming(self) -> int:
        """Delete temporary files that nobody can be working on any more; how many those were."""
        return await self._spool.clean(self._clock.now_ms() / 1000 - ABANDONED_S)

    async def sweep(self) -> int:
        """Delete what has lost its last reference some time ago; how many files that were."""
        deleted = 0
        while True:
            looked_at, unused = await self._database.transact(partial(_unused, now=self._clock.now_ms()))
            for content in unused:
                with _counted("delete"):
                    await self._files.delete(content.file)
            deleted += len(unused)
            if looked_at < _PAGE:
                return deleted

    async def size(self, file: str) -> int:
        """How large a file is. Raises FileLost."""
        return await self._files.size(file)

    def files(self) -> Iterator[str]:
        """The names of all files. Takes its time: for commands."""
        return self._files.names()

    async def delete_file(self, file: str) -> None:
        """Delete a file that no content has."""
        await self._files.delete(file)


@contextmanager
def _counted(work: str) -> Iterator[None]:
    try:
        yield
    except (FileLost, CancelledError):
        raise
    except Exception:
        STORAGE_ERRORS.labels(work).inc()
        raise


def _referred(tx: Transaction, sha256: str, refer: Callable[[Transaction], T]) -> tuple[T] | None:
    if MediaContents(tx).claim(sha256) is None:
        return None
    return (refer(tx),)


def _unused(tx: Transaction, now: int) -> tuple[int, list[Content]]:
    contents = MediaContents(tx)
    suspects = contents.suspects(now - UNUSED_MS, _PAGE)
    unused = contents.unused(suspects)
    hashes = [each.sha256 for each in unused]
    contents.clear(suspects)
    contents.suspect_thumbnails_of(hashes, now)
    contents.delete(hashes)
    return len(suspects), unused
