"""The contents of media: the same bytes are kept once, and as long as something refers to them.

A file is there before the row that names it, and the row is gone before its file is deleted. A crash in between
leaves a file without a row, which costs nothing but space (`homeserver media check` finds it). Names of files are not
used again, so that bytes which come back while their old file is about to be deleted get a new one.

What is uploaded to an address that nobody knows before the answer takes a shorter way: its file and its row are written
at the same time, and the answer waits for both. The row says that it is not *settled* until the file is known to be on
the disk. A crash in between leaves a row of which nobody can ask; and whoever brings the same bytes again does not
trust the file of such a row, but puts their own in its place.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList

from homeserver.clock import Clock, Randomness
from homeserver.gateways.media_files import FileLost, MediaFiles, Reading
from homeserver.gateways.media_spool import Incoming, Spool, Spooled
from homeserver.protocol.errors import MatrixError
from homeserver.services.media.metrics import STORAGE_ERRORS
from homeserver.services.media.settling import Settling
from storage.database import Database
from storage.tables.media_contents import Content, MediaContents
from storage.transaction import Transaction

T = TypeVar("T")

UNUSED_MS: Final = 3_600_000
"""Bytes that nothing refers to any more are kept this long, in case somebody brings them again."""
UNSETTLED_MS: Final = 3_600_000
"""What was entered so long ago and is not settled is of no upload that is still under way."""
ABANDONED_S: Final = 48 * 3600
_PAGE: Final = 100
_LEFT_BY_CRASHES: Final = 1000


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
        self._settling = Settling(database, clock)

    def begin(self, limit: int) -> Incoming:
        """Begin to take bytes, at most so many."""
        return self._spool.begin(limit)

    async def keep(self, whole: Spooled, refer: Callable[[Transaction], T]) -> T:
        """Keep the bytes of a temporary file; `refer` makes what refers to them, in the same transaction."""
        found = await self._database.read(lambda tx: MediaContents(tx).find(whole.sha256))
        if found is not None and self._settling.is_settled(found):
            known = await self._database.transact(lambda tx: _referred(tx, whole.sha256, refer))
            if known is not None:
                await self._spool.discard(whole.path)
                return known[0]
        kept = self._named(whole)
        await self._write(kept, whole)
        return await self._enter(kept, refer)

    async def keep_unheard(
        self,
        incoming: Incoming,
        refer: Callable[[Spooled, Transaction], T],
        forget: Callable[[Transaction], object],
    ) -> T:
        """The same of all that came in, in less time, where nobody can know of what `refer` makes before this returns.
        If the file cannot be kept, `forget` undoes that.
        """
        whole = await incoming.sealed()
        return await self._keep_unheard(incoming, whole, partial(refer, whole), forget)

    async def _keep_unheard(
        self,
        incoming: Incoming,
        whole: Spooled,
        refer: Callable[[Transaction], T],
        forget: Callable[[Transaction], object],
    ) -> T:
        kept = self._named(whole)
        writing = Deferred.fromCoroutine(self._complete(kept, incoming, whole))
        now = self._clock.now_ms()
        try:
            entered = await self._database.transact(lambda tx: self._entered_early(tx, kept, now, refer))
        except BaseException as error:
            _ = await DeferredList([writing], consumeErrors=True)
            if isinstance(error, MatrixError):
                await self._files.delete(kept.file)
            raise
        try:
            await writing
        except Exception:
            if entered is not None:
                await self._database.transact(lambda tx: _forgotten(tx, kept, now, forget))
            raise
        if entered is None:
            return await self._enter(kept, refer)
        referred, ours = entered
        if ours:
            self._settling.note(kept.file)
        else:
            await self._files.delete(kept.file)
        return referred

    async def settle(self) -> None:
        """Look at files of which a crash left it unknown whether they are on the disk."""
        before = self._clock.now_ms() - UNSETTLED_MS
        for content in await self._database.read(
            lambda tx: MediaContents(tx).unsettled(before, _LEFT_BY_CRASHES)
        ):
            if await self.is_whole(content):
                self._settling.note(content.file)
        await self._settling.flush()

    async def stop(self) -> None:
        """Put on record what is not yet."""
        await self._settling.stop()

    async def is_whole(self, content: Content) -> bool:
        """Whether the file has the bytes that it should have: all of them are read."""
        digest = hashlib.sha256()
        try:
            if await self._files.size(content.file) != content.size:
                return False
            async for piece in await self._files.open(content.file, 0, content.size):
                digest.update(piece)
        except FileLost:
            return False
        return digest.hexdigest() == content.sha256

    def _named(self, whole: Spooled) -> Content:
        return Content(whole.sha256, whole.size, f"{whole.sha256}.{self._random.letters(8)}", True)

    async def _complete(self, kept: Content, incoming: Incoming, whole: Spooled) -> None:
        with _counted("keep"):
            await incoming.complete(partial(self._files.keep_now, kept.file, whole.path))

    async def _write(self, kept: Content, whole: Spooled) -> None:
        with _counted("keep"):
            await self._files.keep(kept.file, whole.path)

    async def _enter(self, kept: Content, refer: Callable[[Transaction], T]) -> T:
        """Note a file that is on the disk, or delete it if there is another one of the same bytes that is."""
        now = self._clock.now_ms()
        try:
            referred, needless = await self._database.transact(lambda tx: self._entered(tx, kept, now, refer))
        except MatrixError:
            await self._files.delete(kept.file)
            raise
        if needless is not None:
            await self._files.delete(needless)
        return referred

    def _entered(
        self, tx: Transaction, kept: Content, now: int, refer: Callable[[Transaction], T]
    ) -> tuple[T, str | None]:
        """Note a file that is on the disk; which file is not needed for that."""
        contents = MediaContents(tx)
        known = _known(contents, kept, now, True)
        needless = None if known is None else kept.file
        if known is not None and not self._settling.is_settled(known):
            if contents.take_over(kept.sha256, kept.file):
                needless = known.file
        return refer(tx), needless

    def _entered_early(
        self, tx: Transaction, kept: Content, now: int, refer: Callable[[Transaction], T]
    ) -> tuple[T, bool] | None:
        """Note a file that is just being written, and whether it is needed; None if that has to wait for it."""
        known = _known(MediaContents(tx), kept, now, False)
        if known is not None and not self._settling.is_settled(known):
            return None
        return refer(tx), known is None

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

    async def delete_unfinished(self, file: str) -> bool:
        """Delete a file that did not come to the disk whole before a crash, with the address that nobody was told;
        whether it was one.
        """
        now = self._clock.now_ms()

        def drop(tx: Transaction) -> bool:
            sha256 = MediaContents(tx).drop_addresses(file, now - UNSETTLED_MS)
            if sha256 is not None:
                MediaContents(tx).suspect([sha256], now - UNUSED_MS)
            return sha256 is not None

        return await self._database.transact(drop)

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


def _known(contents: MediaContents, kept: Content, now: int, settled: bool) -> Content | None:
    """Note a file; if these bytes are on record already, what they are there, and nobody deletes them meanwhile."""
    while not contents.add(kept.sha256, kept.size, kept.file, now, settled):
        known = contents.claim(kept.sha256)
        if known is not None:
            return known
    return None


def _forgotten(tx: Transaction, kept: Content, now: int, forget: Callable[[Transaction], object]) -> None:
    _ = forget(tx)
    MediaContents(tx).suspect([kept.sha256], now)


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
