"""Files in the making: bytes go to a temporary file as they come, in constant memory, and nobody sees it until it
is whole. Whoever takes it over has it on the disk before others know of it.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.clock import Randomness
from homeserver.protocol.errors import MatrixError, TooLarge

T = TypeVar("T")

_BATCH: Final = 512 * 1024
"""Bytes that go to the file in one go: a hop to another thread for each of them costs next to nothing."""


class FileWorkers(Protocol):
    """Runs functions that touch files off the reactor, a bounded number at a time."""

    def run(self, function: Callable[[], T]) -> Awaitable[T]:
        """Return what the function returns."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A whole temporary file."""

    path: Path
    size: int
    sha256: str


class Spool:
    """Makes temporary files in one folder, which is on the same disk as the files that they may become."""

    def __init__(self, folder: Path, workers: FileWorkers, random: Randomness) -> None:
        self._folder = folder
        self._workers = workers
        self._random = random

    def begin(self, limit: int) -> "Incoming":
        """Begin a file of at most so many bytes."""
        return Incoming(self.path(), self._workers, limit)

    def path(self) -> Path:
        """A path where nothing is yet."""
        return self._folder / self._random.letters(24)

    async def adopt(self, path: Path) -> Spooled:
        """Take a whole file that somebody else made."""
        return await self._workers.run(lambda: _read_through(path))

    async def discard(self, path: Path) -> None:
        """Delete a file that became nothing."""
        await self._workers.run(lambda: path.unlink(missing_ok=True))

    async def clean(self, before_s: float) -> int:
        """Delete what was left behind before a moment (seconds since the epoch); how many files that were."""
        return await self._workers.run(lambda: _clean(self._folder, before_s))


class Incoming:
    """One file in the making. `finish` or `discard` it."""

    def __init__(self, path: Path, workers: FileWorkers, limit: int) -> None:
        self._path = path
        self._workers = workers
        self._limit = limit
        self.size = 0
        """How much of it came."""
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None
        self._writing: Deferred[None] | None = None
        self._error: BaseException | None = None

    def take(self, data: bytes) -> Deferred[None] | None:
        """Take a piece; what is returned fires when there is room for more. Failures are told by `finish`."""
        self.size += len(data)
        if self.size > self._limit:
            self._error = self._error or TooLarge(f"The content is larger than {self._limit} bytes")
        if self._error is not None:
            return None
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting >= _BATCH and self._writing is None:
            self._writing = Deferred.fromCoroutine(self._flush())
            _ = self._writing.addErrback(self._failed).addBoth(self._written)
        return self._writing

    async def write(self, data: bytes) -> None:
        """Take a piece, and return when there is room for more. Raises TooLarge, OSError."""
        busy = self.take(data)
        if busy is not None:
            await busy
        if self._error is not None:
            raise self._error

    async def finish(self) -> Spooled:
        """Have all of it in the file. Raises TooLarge, OSError."""
        await self._flushed()
        pieces, self._pieces = self._pieces, []
        await self._workers.run(lambda: self._close(pieces))
        return Spooled(self._path, self.size, self._digest.hexdigest())

    async def sealed(self) -> Spooled:
        """What the file will be when it is `complete`. Raises TooLarge, OSError.

        The last bytes are hashed here and now: that takes less time than to ask a thread, and to wait for it.
        """
        await self._flushed()
        if self._waiting > _BATCH:
            await self._flush()
        for piece in self._pieces:
            self._digest.update(piece)
        return Spooled(self._path, self.size, self._digest.hexdigest())

    async def complete(self, then: Callable[[], None]) -> None:
        """After `sealed`: have the last bytes in the file, and do something with it, in one go. Raises OSError."""
        pieces, self._pieces = self._pieces, []

        def complete() -> None:
            self._put(b"".join(pieces))
            self._close_file()
            then()

        await self._workers.run(complete)

    async def discard(self) -> None:
        """Leave nothing behind."""
        self._error = self._error or MatrixError()
        if self._writing is not None:
            await self._writing
        await self._workers.run(self._remove)

    async def _flushed(self) -> None:
        if self._writing is not None:
            await self._writing
        if self._error is not None:
            raise self._error

    async def _flush(self) -> None:
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        await self._workers.run(lambda: self._append(pieces))

    def _written(self, _: object) -> None:
        self._writing = None

    def _failed(self, failure: Failure) -> None:
        self._error = self._error or failure.value

    def _append(self, pieces: list[bytes]) -> None:
        # As one: each call lets go of the interpreter, and has to win it back from a busy reactor.
        data = b"".join(pieces)
        self._put(data)
        self._digest.update(data)

    def _put(self, data: bytes) -> None:
        if self._file is None:
            self._file = _created(self._path)
        self._file.write(data)

    def _close(self, pieces: list[bytes]) -> None:
        self._append(pieces)
        self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()

    def _remove(self) -> None:
        self._close_file()
        self._path.unlink(missing_ok=True)


def _created(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path.open("xb")


def _clean(folder: Path, before_s: float) -> int:
    old = [each for each in folder.glob("*") if each.stat().st_mtime < before_s]
    for each in old:
        each.unlink(missing_ok=True)
    return len(old)


def _read_through(path: Path) -> Spooled:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_BATCH):
            digest.update(piece)
            size += len(piece)
    return Spooled(path, size, digest.hexdigest())
