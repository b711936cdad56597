"""Judging sticky events again that the state of their room forbade when they came: it may allow them by now.

"Soft-failure checks MUST be re-evaluated when the membership state changes for a user with unexpired sticky events."
Servers learn of changes in different orders; so all come to show the same. Powers and join rules count as well.

Likewise, once, what came into a room before its members were known (`completion`).

Events that a policy server refused are not judged again: it "prevents the stickiness of the event".

https://github.com/matrix-org/matrix-spec-proposals/pull/4354
"""

from collections.abc import Iterable
from typing import Final

import structlog

from homeserver.clock import Clock
from homeserver.protocol.identifiers import RoomID
from homeserver.services.rooms.after_commits import AfterCommits
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.ingest.placing import EventPlacer
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.writer import RoomWriter
from storage.database import Database
from storage.journal import Journal
from storage.tables.sticky_events import ONCE, SETTLED_EVENTS, DoubtfulEvent, DoubtfulEvents

log = structlog.get_logger(__name__)

_DECIDING: Final = frozenset(("m.room.member", "m.room.power_levels", "m.room.join_rules", "m.room.create"))
"""The types of state that the auth rules look at."""


class SecondLooks(AfterCommits[RoomID]):
    """Looks again in rooms in which what decides has changed; those of one moment share a query."""

    def __init__(
        self, database: Database, journal: Journal, writer: RoomWriter, placer: EventPlacer, clock: Clock
    ) -> None:
        super().__init__(journal, clock)
        self._database = database
        self._writer = writer
        self._placer = placer

    async def _on_record(self) -> Iterable[RoomID]:
        now = self._clock.now_ms()
        return await self._database.read(lambda tx: DoubtfulEvents(tx).rooms(now))

    def _asked(self, commit: RoomCommit) -> Iterable[RoomID]:
        if commit.whole or any(change.key[0] in _DECIDING for change in commit.changes):
            return (RoomID(commit.head.room_id),)
        return ()

    async def _do(self, wanted: list[RoomID]) -> None:
        now = self._clock.now_ms()
        for doubtful in await self._database.read(lambda tx: DoubtfulEvents(tx).of_rooms(wanted, now)):
            try:
                await self._judge(doubtful)
            except LookupError:
                log.info("a doubtful event is of a room that is gone", room_id=doubtful.room_id)

    async def _judge(self, doubtful: DoubtfulEvent) -> None:
        once = doubtful.expires_ts == ONCE

        async def job(draft: RoomDraft) -> bool:
            if once and draft.head.summary.local_members == 0:
                accepted = False
            else:
                accepted = await self._placer.reconsider(draft, doubtful.nid)
            if once and not accepted and not draft.partial:
                draft.entries.append(SETTLED_EVENTS.row(doubtful.nid))
            return accepted

        if await self._writer.write(doubtful.room_id, job):
            log.info("event accepted after all", room_id=doubtful.room_id, nid=doubtful.nid)
