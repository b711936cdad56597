"""What is derived from the journal in steps, behind it: indexes that searches read."""

from abc import ABC, abstractmethod

from homeserver.services.keyed_locks import KeyedLocks
from storage.database import Database
from storage.journal import Journal


class BehindJournal(ABC):
    """Does its work some at a time, one step after the other in this node; any node may do the next one."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal
        self._locks: KeyedLocks[None] = KeyedLocks()
        self._position: int | None = None

    @property
    def lag(self) -> int:
        """Positions that were not looked at yet, as far as this node knows."""
        return 0 if self._position is None else max(self._journal.position - self._position, 0)

    async def step(self) -> bool:
        """Do some; whether there is more to do."""
        async with self._locks.holding(None):
            return await self._do_some()

    @abstractmethod
    async def _do_some(self) -> bool:
        """Do one step and note the position that it came to; whether there is more to do."""
