"""What files are and what they look like from far away, for whoever uploads one and asks.

https://github.com/matrix-org/matrix-spec-proposals/pull/2448
"""

from homeserver.clock import Clock
from homeserver.gateways.media_files import FileLost
from homeserver.gateways.media_processes import Made, MediaProcesses
from homeserver.services.media.library import Library
from homeserver.services.media.metrics import PROCESSING_SECONDS
from homeserver.services.media.model import MediaName
from storage.database import Database
from storage.tables.media import MediaRows
from storage.tables.media_contents import Content, MediaContents
from storage.transaction import Transaction


class Descriptions:
    """Works them out, in the processes that make thumbnails."""

    def __init__(self, database: Database, library: Library, processes: MediaProcesses, clock: Clock) -> None:
        self._database = database
        self._library = library
        self._processes = processes
        self._clock = clock

    async def of(self, name: MediaName) -> Made | None:
        """What a picture, a film or a recording is; None for anything else, and for what is too large."""
        content = await self._database.read(lambda tx: _content(tx, name))
        if content is None:
            return None
        began = self._clock.seconds()
        try:
            async with self._library.borrow(content.file) as source:
                found = await self._processes.describe(source, self._library.place())
        except FileLost:
            return None
        PROCESSING_SECONDS.labels("description", found.kind).observe(self._clock.seconds() - began)
        return found if found.failure is None else None


def _content(tx: Transaction, name: MediaName) -> Content | None:
    media = MediaRows(tx).find(name.origin, name.media_id)
    return None if media is None or media.sha256 is None else MediaContents(tx).find(media.sha256)
