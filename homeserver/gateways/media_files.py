"""Where the contents of media are kept: the one interface, and the local disk behind it."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from homeserver.gateways.media_spool import FileWorkers

_PIECE: Final = 256 * 1024
"""Bytes that are read in one go."""


class FileLost(Exception):
    """A file that should be there is not, or not whole."""


class Reading(Protocol):
    """Bytes of a file, piece by piece; `aclose` lets go of it, whether it was read to its end or not at all."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None: ...


class MediaFiles(Protocol):
    """Keeps files under names of letters, digits, `.` and `-`, which are never used twice for other bytes."""

    async def keep(self, name: str, whole: Path) -> None:
        """Take over a whole temporary file. It is durable when this returns, or not there at all."""

    def keep_now(self, name: str, whole: Path) -> None:
        """The same, for whoever is on a thread of the workers already."""

    async def open(self, name: str, start: int, length: int) -> Reading:
        """Read so many bytes from a place on. Raises FileLost."""

    def borrow(self, name: str) -> AbstractAsyncContextManager[Path]:
        """A path at which the file can be read for a while. Raises FileLost."""

    async def size(self, name: str) -> int:
        """How many bytes there are. Raises FileLost."""

    async def delete(self, name: str) -> None:
        """Delete a file; one that is not there is deleted already."""

    def names(self) -> Iterator[str]:
        """The names of all files. Takes its time: for commands."""

    def public_url(self, name: str, content_type: str, disposition: str) -> str | None:
        """Where a client can fetch the file by itself, if there is such a place."""


class LocalFiles:
    """Files on a disk of this machine, in folders by the first letters of their names."""

    def __init__(self, folder: Path, workers: FileWorkers) -> None:
        self._folder = folder
        self._workers = workers
        self._durable: set[str] = set()
        """The folders, by the beginnings of names, that are known to be on the disk."""

    async def keep(self, name: str, whole: Path) -> None:
        """Rename it into its place."""
        await self._workers.run(lambda: self.keep_now(name, whole))

    def keep_now(self, name: str, whole: Path) -> None:
        """Names first, bytes then: a file system that keeps a log of both writes it once for all."""
        target = self._path(name)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        whole.rename(target)
        _make_durable(target)
        for folder, known in (
            (target.parent, name),
            (target.parent.parent, name[:4]),
            (self._folder, name[:2]),
        ):
            if known not in self._durable:
                _make_durable(folder)
        self._durable.update((name[:2], name[:4]))

    async def open(self, name: str, start: int, length: int) -> Reading:
        """Read by the piece."""
        path = self._path(name)
        descriptor = await self._workers.run(lambda: _opened(path, start + length))
        return _LocalReading(descriptor, start, length, self._workers)

    @asynccontextmanager
    async def borrow(self, name: str) -> AsyncIterator[Path]:
        """It is there already."""
        yield self._path(name)

    async def size(self, name: str) -> int:
        """By the file system."""
        path = self._path(name)
        return await self._workers.run(lambda: _size(path))

    async def delete(self, name: str) -> None:
        """Unlink it."""
        path = self._path(name)
        await self._workers.run(lambda: path.unlink(missing_ok=True))

    def names(self) -> Iterator[str]:
        """Walk the folders."""
        for folder in sorted(self._folder.glob("??/??")):
            yield from sorted(each.name for each in folder.iterdir())

    def public_url(self, name: str, content_type: str, disposition: str) -> str | None:
        """There is none."""
        return None

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name[2:4] / name


class _LocalReading:
    def __init__(self, descriptor: int, start: int, length: int, workers: FileWorkers) -> None:
        self._descriptor: int | None = descriptor
        self._at = start
        self._left = length
        self._workers = workers

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        descriptor = self._descriptor
        if descriptor is None or self._left == 0:
            await self.aclose()
            raise StopAsyncIteration
        length, at = min(self._left, _PIECE), self._at
        piece = _in_memory(descriptor, length, at)
        if piece is None:
            piece = await self._workers.run(lambda: os.pread(descriptor, length, at))
        if not piece:
            await self.aclose()
            raise FileLost("a file ended too early")
        self._at += len(piece)
        self._left -= len(piece)
        return piece

    async def aclose(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _in_memory(descriptor: int, length: int, at: int) -> bytes | None:
    """What the system has of these bytes without asking the disk, which takes less time than to ask a thread.

    None when it has nothing, or cannot tell.
    """
    buffer = bytearray(length)
    try:
        found = os.preadv(descriptor, (buffer,), at, os.RWF_NOWAIT)
    except OSError:
        return None
    return bytes(memoryview(buffer)[:found]) if found else None


def _opened(path: Path, needed: int) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FileLost(f"{path} cannot be opened: {error.strerror}") from error
    if os.fstat(descriptor).st_size < needed:
        os.close(descriptor)
        raise FileLost(f"{path} is not whole")
    return descriptor


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise FileLost(f"{path} is not there") from error


def _make_durable(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
