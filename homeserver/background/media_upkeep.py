"""What has to be done about media from time to time: forget addresses whose content did not come, and delete what
nothing needs. Every node does it; doing it twice does no harm.
"""

from typing import Final

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.clock import Clock, Timer
from homeserver.services.media.library import Library
from homeserver.services.media.previews import Previews
from homeserver.services.media.retention import Retention
from homeserver.services.media.uploads import Uploads
from homeserver.services.media.uses import MediaUseIndex

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 600.0


class MediaUpkeep:
    """Runs between `start` and `stop`."""

    def __init__(
        self,
        uploads: Uploads,
        retention: Retention,
        uses: MediaUseIndex,
        library: Library,
        previews: Previews | None,
        clock: Clock,
    ) -> None:
        self._uploads = uploads
        self._retention = retention
        self._uses = uses
        self._library = library
        self._previews = previews
        self._clock = clock
        self._timer: Timer | None = None

    def start(self) -> None:
        """Do it after each interval."""
        self._timer = self._clock.call_later(INTERVAL_S, self._begin)

    def stop(self) -> None:
        """Do it no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _begin(self) -> None:
        self.start()
        _ = Deferred.fromCoroutine(self._round()).addErrback(_failed)

    async def _round(self) -> None:
        await self._library.settle()
        await self._uploads.expire()
        if self._previews is not None:
            await self._previews.expire()
        await self._uses.release()
        await self._retention.shrink()
        await self._library.sweep()
        await self._library.clean_incoming()


def _failed(failure: Failure) -> None:
    log.warning("upkeep of media failed", error=repr(failure.value))
