"""How much all files of this server take, which is looked up once a minute: many rows are added up for it."""

from typing import Final

from homeserver.clock import Clock
from storage.database import Database
from storage.tables.media_contents import MediaContents

_LOOK_AGAIN_S: Final = 60.0


class Fullness:
    """Knows it, as of less than a minute ago, with what was uploaded here since."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._looked_at: float | None = None
        self._bytes = 0

    async def bytes(self) -> int:
        """How many bytes are kept."""
        now = self._clock.seconds()
        if self._looked_at is None or now - self._looked_at >= _LOOK_AGAIN_S:
            self._looked_at = now
            self._bytes = await self._database.read(lambda tx: MediaContents(tx).bytes_of_all())
        return self._bytes

    def add(self, size: int) -> None:
        """So many bytes came."""
        self._bytes += size
