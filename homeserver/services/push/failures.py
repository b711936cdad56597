"""The health of push gateways, and of single pushers: what does not work is left alone, longer each time.

It is kept in memory by the node that pushes, and on record for the one that does it next.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.clock import Clock, Randomness
from storage.database import Database
from storage.tables.push_outbox import PushFailures as StoredFailures

FIRST_PAUSE_MS: Final = 1_000
LONGEST_PAUSE_MS: Final = 3_600_000
GROWTH: Final = 2
JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Failing:
    since_ms: int
    retry_ms: int
    interval_ms: int


class PushFailures:
    """Says when something may be tried again."""

    def __init__(self, database: Database, clock: Clock, random: Randomness) -> None:
        self._database = database
        self._clock = clock
        self._random = random
        self._failing: dict[str, _Failing] = {}

    def __len__(self) -> int:
        """How many gateways and pushers do not work."""
        return len(self._failing)

    async def load(self) -> None:
        """Learn what is on record."""
        rows = await self._database.read(lambda tx: StoredFailures(tx).all())
        self._failing = {
            row.target: _Failing(row.failing_since_ts, row.retry_ts, row.interval_ms) for row in rows
        }

    def seconds_until_retry(self, target: str) -> float:
        """How long to leave something alone; 0: not at all."""
        found = self._failing.get(target)
        return 0.0 if found is None else max(0, found.retry_ms - self._clock.now_ms()) / 1000

    async def failed(self, target: str, at_least_ms: int = 0) -> None:
        """It did not work. Of several attempts that were under way together, the first counts."""
        now = self._clock.now_ms()
        before = self._failing.get(target)
        if before is not None and before.retry_ms > now:
            return
        interval = FIRST_PAUSE_MS if before is None else before.interval_ms * GROWTH
        interval = min(max(interval, at_least_ms), LONGEST_PAUSE_MS)
        pause = int(interval * self._random.uniform(1.0, 1.0 + JITTER))
        since = now if before is None else before.since_ms
        failing = self._failing[target] = _Failing(since, now + pause, interval)
        await self._database.transact(
            lambda tx: StoredFailures(tx).note(target, since, failing.retry_ms, failing.interval_ms)
        )

    async def worked(self, target: str) -> None:
        """It works."""
        if self._failing.pop(target, None) is not None:
            await self._database.transact(lambda tx: StoredFailures(tx).forget(target))
