"""The health of other servers: one record each, minded and fed by everybody who asks them anything.

A server that does not answer is left alone for a while: for seconds at first, and for up to two weeks when it stays
away. It is tried again at once when it asks *us* something. A server that answers has no record and costs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from twisted.internet.defer import Deferred

from federation.client.errors import Unreachable
from homeserver.clock import Clock, Randomness
from homeserver.protocol.identifiers import ServerName
from storage.database import Database
from storage.tables.destinations import DESTINATION_FAILURES, Destinations, FailingDestination
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

FIRST_PAUSE_MS: Final = 1_000
LONGEST_PAUSE_MS: Final = 14 * 24 * 3600 * 1000
GROWTH: Final = 2.0
JITTER: Final = 0.25
REFRESH_S: Final = 30.0
WAKE_EVERY_MS: Final = 60_000

Listener = Callable[[ServerName], object]


@dataclass(frozen=True, slots=True)
class Attempt:
    """That a server is being asked.

    `pause` is the number of the pause after which it is: failures of one pause count once.
    """

    server: ServerName
    pause: int
    despite_pause: bool = False


@dataclass(slots=True)
class _Failing:
    since_ms: int
    retry_ms: int
    interval_ms: int
    pause: int = 1


class DestinationHealth:
    """Says whether a server may be asked, and learns from how it went. It answers at once, from memory.

    Call `load` before anything else and `keep_up` to learn what other nodes find out.
    """

    def __init__(self, database: Database, clock: Clock, random: Randomness) -> None:
        self._database = database
        self._clock = clock
        self._random = random
        self._failing: dict[ServerName, _Failing] = {}
        self._unsaved: dict[ServerName, _Failing | None] = {}
        self._saving = False
        self._waiting_for_save: list[Deferred[None]] = []
        self._listeners: list[Listener] = []
        self._woken: dict[ServerName, int] = {}

    def listen(self, listener: Listener) -> None:
        """Have a function called with each server that answers, or asks us something, after it was thought to be
        away.
        """
        self._listeners.append(listener)

    def retry_at_ms(self, server: ServerName) -> int | None:
        """When the server may be asked again (ms since the epoch); None: now."""
        record = self._failing.get(server)
        return record.retry_ms if record is not None and record.retry_ms > self._clock.now_ms() else None

    def admit(self, server: ServerName, despite_pause: bool = False) -> Attempt:
        """Begin to ask a server; say how it went by `succeeded` or `failed`.

        Raises Unreachable while it is left alone.
        """
        record = self._failing.get(server)
        if record is None:
            return Attempt(server, 0, despite_pause)
        if record.retry_ms > self._clock.now_ms() and not despite_pause:
            raise Unreachable(server, "it has not answered for some time", record.retry_ms)
        return Attempt(server, record.pause, despite_pause)

    def succeeded(self, attempt: Attempt) -> None:
        """The server answered."""
        if attempt.server in self._failing:
            self._recovered(attempt.server)

    def heard_from(self, server: ServerName) -> None:
        """The server asked us something (and proved that it was it), so it is there.

        One that asks us but cannot be reached from here is tried again at once no more than once a minute.
        """
        if server not in self._failing:
            return
        now = self._clock.now_ms()
        if now - self._woken.get(server, -WAKE_EVERY_MS) < WAKE_EVERY_MS:
            return
        self._woken = {each: when for each, when in self._woken.items() if now - when < WAKE_EVERY_MS}
        self._woken[server] = now
        self._recovered(server)

    def failed(self, attempt: Attempt, at_least_ms: int = 0) -> None:
        """The server did not answer, or asked to be left alone for `at_least_ms`."""
        record = self._failing.get(attempt.server)
        if record is None and attempt.pause != 0:
            return  # it was heard from since
        if record is not None and record.pause != attempt.pause:
            return  # others failed in the same pause, and this was counted
        now = self._clock.now_ms()
        interval = FIRST_PAUSE_MS if record is None else int(record.interval_ms * GROWTH)
        interval = min(max(interval, at_least_ms), LONGEST_PAUSE_MS)
        paused = int(interval * self._random.uniform(1.0 - JITTER, 1.0 + JITTER))
        self._failing[attempt.server] = self._unsaved[attempt.server] = _Failing(
            since_ms=now if record is None else record.since_ms,
            retry_ms=now + max(paused, at_least_ms),
            interval_ms=interval,
            pause=1 if record is None else record.pause + 1,
        )
        self._save()

    async def load(self) -> None:
        """Learn what is on record."""
        stored = await self._database.transact(lambda tx: Destinations(tx).failing())
        known = {each.server_name: each for each in stored}
        for server in [name for name in self._failing if name not in known and name not in self._unsaved]:
            self._recovered(server, stored=False)
        for server, each in known.items():
            mine = self._failing.get(server)
            if server not in self._unsaved and (mine is None or mine.retry_ms < each.retry_ts):
                self._failing[server] = _from_record(each, mine)

    async def keep_up(self) -> None:
        """Learn again every now and then, until cancelled."""
        while True:
            await self._clock.sleep(REFRESH_S)
            try:
                await self.load()
            except Exception:
                log.exception("the health of other servers could not be read")

    async def saved(self) -> None:
        """Return when all that was learnt is on record."""
        while self._saving:
            done: Deferred[None] = Deferred()
            self._waiting_for_save.append(done)
            await done

    def _recovered(self, server: ServerName, stored: bool = True) -> None:
        del self._failing[server]
        if stored:
            self._unsaved[server] = None
            self._save()
        for listener in self._listeners:
            listener(server)

    def _save(self) -> None:
        if not self._saving:
            self._saving = True
            _ = Deferred.fromCoroutine(self._save_all())

    async def _save_all(self) -> None:
        while self._unsaved:
            batch, self._unsaved = self._unsaved, {}
            try:
                await self._write(batch)
            except Exception:
                log.exception("the health of other servers could not be stored", servers=len(batch))
        self._saving = False
        waiting, self._waiting_for_save = self._waiting_for_save, []
        for each in waiting:
            each.callback(None)

    async def _write(self, batch: dict[ServerName, _Failing | None]) -> None:
        answered = [server for server, record in batch.items() if record is None]
        rows = [
            (server, record.since_ms, record.retry_ms, record.interval_ms)
            for server, record in batch.items()
            if record is not None
        ]

        def write(tx: Transaction) -> None:
            if answered:
                Destinations(tx).answered(answered)
            DESTINATION_FAILURES.execute(tx, rows)

        await self._database.transact(write)


def _from_record(stored: FailingDestination, mine: _Failing | None) -> _Failing:
    pause = 1 if mine is None else mine.pause + 1
    return _Failing(stored.failing_since_ts, stored.retry_ts, stored.interval_ms, pause)
