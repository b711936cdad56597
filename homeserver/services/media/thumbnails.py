"""Thumbnails: made when they are asked for, and kept. That a picture has none is kept for a while, too."""

from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.clock import Clock
from homeserver.gateways.media_files import FileLost
from homeserver.gateways.media_processes import Made, MediaProcesses, Wish
from homeserver.protocol.errors import (
    ElsewhereTooLarge,
    InvalidParam,
    MatrixError,
    NotFound,
    NoThumbnail,
    TooLarge,
)
from homeserver.services.media.library import Library
from homeserver.services.media.metrics import PROCESSING_SECONDS, THUMBNAILS
from homeserver.services.media.model import Shown
from homeserver.services.media.thumbnail_sizes import Method, box_for
from storage.database import Database
from storage.tables.media_contents import MediaThumbnails, Thumbnail
from storage.transaction import Transaction

TRY_AGAIN_MS: Final = 24 * 3_600_000
"""What could not be done is tried again after so long."""
_NAMES: Final = {
    "image/jpeg": "thumbnail.jpg",
    "image/png": "thumbnail.png",
    "image/gif": "thumbnail.gif",
    "image/webp": "thumbnail.webp",
}


class Thumbnails:
    """Gives thumbnails of content."""

    def __init__(self, database: Database, library: Library, processes: MediaProcesses, clock: Clock) -> None:
        self._database = database
        self._library = library
        self._processes = processes
        self._clock = clock
        self._making: dict[tuple[str, Wish], Deferred[None]] = {}

    async def of(self, shown: Shown, wish: Wish, *, ours: bool) -> Shown:
        """The thumbnail of some content for a wish of any size.

        Raises NoThumbnail for what is no picture, and TooLarge or, if it is not `ours`, ElsewhereTooLarge.
        """
        wish = _bounded(wish)
        outcome = "kept"
        found = await self._found(shown, wish)
        if found is None:
            outcome = "made"
            await self._made_once(shown, wish)
            found = await self._found(shown, wish)
        if found is None or found.sha256 is None or found.size is None or found.file is None:
            THUMBNAILS.labels("none").inc()
            raise _refusal(None if found is None else found.failure, ours)
        THUMBNAILS.labels(outcome).inc()
        name = _NAMES.get(found.content_type, "thumbnail")
        return Shown(found.sha256, found.size, found.file, found.content_type, name, shown.private)

    async def _found(self, shown: Shown, wish: Wish) -> Thumbnail | None:
        found = await self._database.read(
            lambda tx: MediaThumbnails(tx).find(
                shown.sha256, wish.width, wish.height, wish.method, wish.animated
            )
        )
        stale = found is not None and found.failure and found.made_ts < self._clock.now_ms() - TRY_AGAIN_MS
        return None if stale else found

    async def _made_once(self, shown: Shown, wish: Wish) -> None:
        """Make it; whoever asks meanwhile waits for the same one."""
        key = (shown.sha256, wish)
        under_way = self._making.get(key)
        if under_way is not None:
            await _either_way(under_way)
            return
        making: Deferred[None] = Deferred()
        self._making[key] = making
        try:
            await self._make(shown, wish)
        finally:
            del self._making[key]
            making.callback(None)

    async def _make(self, shown: Shown, wish: Wish) -> None:
        target, began = self._library.place(), self._clock.seconds()
        try:
            async with self._library.borrow(shown.file) as source:
                made = await self._processes.thumbnail(source, target, wish)
        except FileLost as error:
            raise NotFound("The content of this media is lost") from error
        PROCESSING_SECONDS.labels("thumbnail", made.kind).observe(self._clock.seconds() - began)
        if made.failure is not None:
            await self._library.discard(target)
            failure = made.failure
            await self._database.transact(lambda tx: self._put(tx, shown, wish, None, Made(failure=failure)))
            return
        whole = await self._library.adopt(target)
        await self._library.keep(whole, lambda tx: self._put(tx, shown, wish, whole.sha256, made))

    def _put(self, tx: Transaction, shown: Shown, wish: Wish, sha256: str | None, made: Made) -> None:
        MediaThumbnails(tx).put(
            shown.sha256,
            wish.width,
            wish.height,
            wish.method,
            wish.animated,
            sha256,
            made.type,
            made.failure,
            self._clock.now_ms(),
        )


def wished(width: int, height: int, method: Method, animated: bool) -> Wish:
    """What a client asks for. Raises InvalidParam."""
    if width < 1 or height < 1:
        raise InvalidParam("A thumbnail has a width and a height of at least 1")
    return Wish(width, height, method, animated)


def _bounded(wish: Wish) -> Wish:
    width, height = box_for(wish.width, wish.height, "crop" if wish.method == "crop" else "scale")
    return Wish(width, height, wish.method, wish.animated)


def _refusal(failure: str | None, ours: bool) -> MatrixError:
    if failure == "too large":
        text = "Content is too large to thumbnail"
        return TooLarge(text) if ours else ElsewhereTooLarge(text)
    return NoThumbnail()


async def _either_way(under_way: Deferred[None]) -> None:
    waiting: Deferred[None] = Deferred()

    def done(result: Failure | None) -> Failure | None:
        if not waiting.called:
            waiting.callback(None)
        return result

    _ = under_way.addBoth(done)
    await waiting
