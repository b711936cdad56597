"""Redacting all that somebody said who was removed with it, however much that is: some at a time, the latest first.

What is left to do is on record from the commit that removes them, and goes on where it was when a node starts.

https://github.com/matrix-org/matrix-spec-proposals/pull/4293
"""

from collections.abc import Iterable

import structlog

from homeserver.clock import Clock
from homeserver.services.rooms.after_commits import AfterCommits
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.redactions import RedactionEffects, takes_words_along
from homeserver.services.rooms.writer import RoomWriter
from storage.database import Database
from storage.journal import Journal
from storage.tables.redactions import OwedRedaction, OwedRedactions

log = structlog.get_logger(__name__)


class OwedRedactionsWork(AfterCommits[int]):
    """Does it, for each membership event by its number."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        writer: RoomWriter,
        effects: RedactionEffects,
        clock: Clock,
    ) -> None:
        super().__init__(journal, clock)
        self._database = database
        self._writer = writer
        self._effects = effects

    async def _on_record(self) -> Iterable[int]:
        return [owed.cause for owed in await self._database.read(lambda tx: OwedRedactions(tx).all())]

    def _asked(self, commit: RoomCommit) -> Iterable[int]:
        events = (*commit.events, *commit.redacted) if commit.whole else commit.events
        return [stored.nid for stored in events if takes_words_along(stored.event)]

    async def _do(self, wanted: list[int]) -> None:
        for cause in wanted:
            while self.running and (owed := await self._owed(cause)):
                try:
                    await self._some(owed)
                except LookupError:
                    log.info("events to be redacted are of a room that is gone", room_id=owed.room_id)
                    break

    async def _owed(self, cause: int) -> OwedRedaction | None:
        return await self._database.read(lambda tx: OwedRedactions(tx).find(cause))

    async def _some(self, owed: OwedRedaction) -> None:
        async def job(draft: RoomDraft) -> None:
            await self._effects.strike_some(draft, owed)

        await self._writer.write(owed.room_id, job)
