"""Tokens from a past that is no more: somebody got them before the database was restored from an older backup.

Who has such a token knows of things that did not happen here, and begins anew.
"""

from storage.database import Database
from storage.journal import Journal
from storage.tables.restorations import LostPast, Restorations


class LostPasts:
    """Knows which positions were lost."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal
        self._lost: list[LostPast] | None = None

    async def hold(self, pos: int) -> bool:
        """Whether a position that a client has is one of them."""
        if pos > self._journal.position:  # another node gave it, or it was lost
            await self._journal.reach(pos)
            if pos > self._journal.position:
                return True
        if self._lost is None:
            self._lost = await self._database.read(lambda tx: Restorations(tx).lost())
        return any(past.lost_after < pos < past.upto for past in self._lost)
