"""Numbers taken from PostgreSQL sequences in blocks, so that most takers do not ask the database."""

from collections import deque

from storage.database import Database
from storage.tables.numbers import BLOCK, Numbers


class BlockSequence:
    """Numbers of one sequence; those of a block that a restart interrupts are never used, which is harmless."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._numbers: deque[int] = deque()

    async def take(self) -> int:
        while not self._numbers:
            start = await self._database.transact(lambda tx: Numbers(tx).next_block(self._name))
            self._numbers.extend(range(start, start + BLOCK))
        return self._numbers.popleft()
