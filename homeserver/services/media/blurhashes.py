"""What pictures look like from far away, for whoever uploads one and asks.

https://github.com/matrix-org/matrix-spec-proposals/pull/2448
"""

from homeserver.gateways.media_files import FileLost
from homeserver.gateways.media_processes import MediaProcesses
from homeserver.services.media.library import Library
from homeserver.services.media.model import MediaName
from storage.database import Database
from storage.tables.media import MediaRows
from storage.tables.media_contents import MediaContents
from storage.transaction import Transaction


class Blurhashes:
    """Works them out, in the processes that make thumbnails."""

    def __init__(self, database: Database, library: Library, processes: MediaProcesses) -> None:
        self._database = database
        self._library = library
        self._processes = processes

    async def of(self, name: MediaName) -> str | None:
        """The BlurHash of a picture; None for what is no picture, or one too large."""
        file = await self._database.read(lambda tx: _file(tx, name))
        if file is None:
            return None
        try:
            async with self._library.borrow(file) as source:
                found = await self._processes.blurhash(source)
        except FileLost:
            return None
        return found.blurhash


def _file(tx: Transaction, name: MediaName) -> str | None:
    media = MediaRows(tx).find(name.origin, name.media_id)
    content = None if media is None or media.sha256 is None else MediaContents(tx).find(media.sha256)
    return None if content is None else content.file
