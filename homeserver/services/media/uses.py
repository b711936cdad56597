"""Which events show which files, so that a file goes some time after the events that showed it, or after whoever
uploaded it had themselves erased. Copies of other servers' files go in the same way.

What is encrypted shows nothing to this server: such files stay until somebody deletes them or their owner is erased.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from homeserver.clock import Clock
from homeserver.protocol.identifiers import ServerName, server_of
from homeserver.services.behind_journal import BehindJournal
from homeserver.services.media.mentions import names_in
from storage.database import Database
from storage.journal import Journal, Stream
from storage.tables.media import MediaRows
from storage.tables.media_contents import MediaContents
from storage.tables.media_uses import (
    ENDED_MEDIA_USES,
    MEDIA_USES,
    GoneRow,
    MediaErasures,
    MediaUses,
    TellingRow,
    UnusedRow,
)
from storage.transaction import Transaction

POSITIONS_AT_ONCE: Final = 2000
_PAGE: Final = 100


class MediaUseIndex(BehindJournal):
    """Notes uses, some positions at a time, and lets go of files that have none left."""

    def __init__(
        self, server_name: ServerName, database: Database, journal: Journal, clock: Clock, grace_ms: int
    ) -> None:
        """``grace_ms``: how long a file stays after the last event that showed it was redacted, or its owner erased."""
        super().__init__(database, journal)
        self._server_name = server_name
        self._clock = clock
        self._grace_ms = grace_ms

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
        """Let go of files whose last use is long enough gone, and of those of erased users; how many those were."""
        released = 0
        more = True
        while more:
            more, count = await self._database.transact(self._release_some)
            released += count
        more = True
        while more:
            more, count = await self._database.transact(self._release_erased)
            released += count
        return released

    def end(self, tx: Transaction, rows: Sequence[TellingRow], now_ms: int) -> None:
        """Note that events which showed files are no more, whether they were looked at already or not."""
        ENDED_MEDIA_USES.execute(tx, [(*use, now_ms) for row in rows for use in self._uses_of(row)])

    def _next_rows(self, tx: Transaction) -> tuple[int, int, int, list[TellingRow]]:
        was, now = MediaUses(tx).position(), Stream(tx).position()
        upto = min(now, was + POSITIONS_AT_ONCE)
        return was, upto, now, MediaUses(tx).between(was, upto) if upto > was else []

    def _uses_of(self, row: TellingRow) -> Iterator[tuple[str, str, str, str]]:
        if row.type == "m.room.member" and row.state_key != row.sender:
            return  # an invitation repeats somebody's avatar, and is no use of it
        ours_first = sorted(names_in(row.json), key=lambda name: name.origin != self._server_name)
        for name in ours_first:
            origin = "" if name.origin == self._server_name else name.origin
            yield name.media_id, row.event_id, row.sender, origin

    def _release_some(self, tx: Transaction) -> tuple[bool, int]:
        gone = MediaUses(tx).take_gone(self._clock.now_ms() - self._grace_ms, _PAGE)
        ours = [each for each in gone if not each.origin]
        unused = MediaUses(tx).unused(
            self._server_name, [each.media_id for each in ours], [each.sender for each in ours]
        )
        copies = [each for each in gone if _is_theirs(each)]
        unused += MediaUses(tx).unused_copies(
            [each.origin for each in copies], [each.media_id for each in copies]
        )
        self._let_go(tx, unused)
        return len(gone) == _PAGE, len(unused)

    def _release_erased(self, tx: Transaction) -> tuple[bool, int]:
        erasures = MediaErasures(tx)
        user_id = erasures.due(self._clock.now_ms() - self._grace_ms)
        if user_id is None:
            return False, 0
        unused = erasures.unused(user_id, _PAGE)
        self._let_go(tx, unused)
        if len(unused) < _PAGE:
            erasures.done(user_id)
        return True, len(unused)

    def _let_go(self, tx: Transaction, unused: list[UnusedRow]) -> None:
        for each in unused:
            MediaRows(tx).delete(each.origin, each.media_id)
        MediaContents(tx).suspect([each.sha256 for each in unused], self._clock.now_ms())


def _is_theirs(gone: GoneRow) -> bool:
    """Whether the server that has a file is that of whoever showed it: others cannot have our copy deleted."""
    return bool(gone.origin) and server_of(gone.sender) == gone.origin


def _targets_of(row: TellingRow) -> Iterator[str]:
    """The event that a redaction is for, wherever its room version has it."""
    if row.type != "m.room.redaction":
        return
    event: dict[str, Any] = orjson.loads(row.json)
    content = event.get("content")
    for target in (event.get("redacts"), content.get("redacts") if isinstance(content, dict) else None):
        if isinstance(target, str):
            yield target
