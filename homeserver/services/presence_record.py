"""What is kept of presence over a restart: written now and then, all that changed at once.

After a start, those who were here count as here until the clock says that they did not come back, so that everybody who
was told of them learns that; and what people say of themselves stays.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog
from twisted.internet.defer import Deferred

from homeserver.clock import Clock, Timer
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.presence import OFFLINE
from homeserver.services.presence import Presence
from homeserver.services.presence_model import Status
from storage.database import Database
from storage.tables.presence import KeptPresence
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

EVERY_S: Final = 60.0
AT_ONCE: Final = 5000
MAX_USERS: Final = 50_000


class PresenceRecord:
    """Reads at the start, writes from then on."""

    def __init__(self, database: Database, presence: Presence, clock: Clock) -> None:
        self._database = database
        self._presence = presence
        self._clock = clock
        self._changed: set[UserID] = set()
        self._timer: Timer | None = None

    async def start(self) -> None:
        """Begin where it ended."""
        if not self._presence.enabled:
            return
        rows = await self._database.read(lambda tx: KeptPresence(tx).latest(MAX_USERS))
        now, now_ms = self._clock.seconds(), self._clock.now_ms()
        for row in rows:
            active = None if row.active_ts is None else now - max(now_ms - row.active_ts, 0) / 1000
            self._presence.resume(row.user_id, row.presence, row.status_msg, active)
        self._presence.when_local_changed(self._note)

    async def stop(self) -> None:
        """Write what changed last."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        await self._write()

    def _note(self, statuses: Sequence[Status]) -> None:
        self._changed.update(
            status.user_id for status in statuses if not self._presence.is_elsewhere(status.user_id)
        )
        if self._timer is None:
            self._timer = self._clock.call_later(EVERY_S, self._due)

    def _due(self) -> None:
        self._timer = None
        writing = Deferred.fromCoroutine(self._write())
        _ = writing.addErrback(lambda failure: log.error("presence_not_kept", error=failure.getTraceback()))

    async def _write(self) -> None:
        users, self._changed = sorted(self._changed), set()
        for start in range(0, len(users), AT_ONCE):
            statuses = [self._presence.of(user_id) for user_id in users[start : start + AT_ONCE]]
            await self._database.transact(partial(self._save, statuses))

    def _save(self, statuses: Sequence[Status], tx: Transaction) -> None:
        table = KeptPresence(tx)
        kept: list[Status] = []
        gone: list[Status] = []
        for each in statuses:
            (gone if each.presence == OFFLINE and each.status_msg is None else kept).append(each)
        if gone:
            table.remove([each.user_id for each in gone])
        if kept:
            table.put(
                [each.user_id for each in kept],
                [each.presence for each in kept],
                [each.status_msg for each in kept],
                [self._active_ts(each) for each in kept],
            )

    def _active_ts(self, status: Status) -> int | None:
        if status.active_at is None:
            return None
        return self._clock.now_ms() - int((self._clock.seconds() - status.active_at) * 1000)
