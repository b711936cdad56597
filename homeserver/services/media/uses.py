"""Which events show which of our users' files, so that a file goes some time after the events that showed it.

What is encrypted shows nothing to this server: such files stay until somebody deletes them.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from homeserver.clock import Clock
from homeserver.protocol.identifiers import MediaID, ServerName
from homeserver.services.behind_journal import BehindJournal
from storage.database import Database
from storage.journal import Journal, Stream
from storage.tables.media import MediaRows
from storage.tables.media_contents import MediaContents
from storage.tables.media_uses import MEDIA_USES, MediaUses, TellingRow
from storage.transaction import Transaction

POSITIONS_AT_ONCE: Final = 2000
_PAGE: Final = 100


class MediaUseIndex(BehindJournal):
    """Notes uses, some positions at a time, and lets go of files that have none left."""

    steps_at_once = 1

    def __init__(
        self, server_name: ServerName, database: Database, journal: Journal, clock: Clock, grace_ms: int
    ) -> None:
        """``grace_ms``: how long a file stays after the last event that showed it was redacted."""
        super().__init__(database, journal)
        self._server_name = server_name
        self._clock = clock
        self._grace_ms = grace_ms
        self._scheme = f"mxc://{server_name}/"
        self._names = re.compile(re.escape(self._scheme) + r"([A-Za-z0-9_-]{1,255})(?![A-Za-z0-9_-])")

    async def _do_some(self) -> bool:
        was, upto, now, rows = await self._database.read(self._next_rows)
        if upto == was:
            self._position = self._journal.position
            return False
        uses = [use for row in rows for use in self._uses_of(row)]
        redacted = [target for row in rows for target in _targets_of(row)]
        now_ms = self._clock.now_ms()

        def write(tx: Transaction) -> bool:
            if not MediaUses(tx).advance(was, upto):
                return False
            MEDIA_USES.execute(tx, uses)
            if redacted:
                MediaUses(tx).gone(redacted, now_ms)
            return True

        done = await self._database.transact(write)
        if done:
            self._position = upto
        return upto < now or not done

    async def release(self) -> int:
        """Let go of files whose last use is long enough gone; how many those were."""
        released = 0
        while True:
            taken, count = await self._database.transact(self._release_some)
            released += count
            if taken < _PAGE:
                return released

    def _next_rows(self, tx: Transaction) -> tuple[int, int, int, list[TellingRow]]:
        was, now = MediaUses(tx).position(), Stream(tx).position()
        upto = min(now, was + POSITIONS_AT_ONCE)
        return was, upto, now, MediaUses(tx).between(was, upto, self._scheme) if upto > was else []

    def _uses_of(self, row: TellingRow) -> Iterator[tuple[str, str, str]]:
        for media_id in dict.fromkeys(self._names.findall(row.json)):
            yield media_id, row.event_id, row.sender

    def _release_some(self, tx: Transaction) -> tuple[int, int]:
        now = self._clock.now_ms()
        gone = MediaUses(tx).take_gone(now - self._grace_ms, _PAGE)
        unused = MediaUses(tx).unused(
            self._server_name, [media_id for media_id, _ in gone], [sender for _, sender in gone]
        )
        for each in unused:
            MediaRows(tx).delete(self._server_name, MediaID(each.media_id))
        MediaContents(tx).suspect([each.sha256 for each in unused], now)
        return len(gone), len(unused)


def _targets_of(row: TellingRow) -> Iterator[str]:
    """The event that a redaction is for, wherever its room version has it."""
    if row.type != "m.room.redaction":
        return
    event: dict[str, Any] = orjson.loads(row.json)
    content = event.get("content")
    for target in (event.get("redacts"), content.get("redacts") if isinstance(content, dict) else None):
        if isinstance(target, str):
            yield target
