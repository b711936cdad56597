"""Group commit: every durable write of this node, with gap-free positions in commit order (ADR 0001).

Writes that arrive while a commit is under way share the next one: one transaction, one statement a table, one fsync. If
a group fails, its writes are retried one by one, so that one bad write harms nobody else.
"""

from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Any, TypeVar

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.protocol.identifiers import RoomID
from storage import metrics
from storage.commit import GroupCommit, Member
from storage.database import Database
from storage.query import Queries, one, query
from storage.writes import (
    NO_CHANGES,
    Changes,
    Committed,
    Landed,
    Listener,
    LostRace,
    RoomGuard,
    RunResult,
    Write,
)

__all__ = [
    "NO_CHANGES",
    "Changes",
    "Committed",
    "Journal",
    "Landed",
    "Listener",
    "LostRace",
    "RoomGuard",
    "RunResult",
    "Stream",
    "Write",
]

T = TypeVar("T")

GROUP_WRITES = 256
"""Most writes in one group."""
GROUP_ENTRIES = 4096
"""No further write joins a group that has as many rows."""

log = structlog.get_logger(__name__)


class Stream(Queries):
    """The counter of all durable streams."""

    @query("select pos from stream", one(int))
    def position(self) -> int: ...


class Journal:
    """The only way to durable changes that somebody may have to see."""

    def __init__(self, database: Database, name: str) -> None:
        """`name` tells this journal's marks from those of other nodes: unique among all that run."""
        self.position = 0
        self._database = database
        self._commit = GroupCommit(database, name)
        self._lane = database.workers.lane(1)
        self._pending: deque[Member] = deque()
        self._landed: deque[tuple[Sequence[Member], int]] = deque()
        self._busy = False
        self._group: Deferred[None] | None = None
        self._telling = False
        self._listeners: list[Listener] = []
        self._idle: list[Deferred[None]] = []

    async def start(self) -> None:
        """Read where the counter stands; before anything is written."""
        self.observe(await self._database.read(lambda tx: Stream(tx).position()))

    async def drain(self) -> None:
        """Wait until everything given to `write` so far is committed or failed."""
        if self._busy:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    def listen(self, listener: Listener) -> None:
        """Call `listener` after each commit of this node, in position order, on the reactor."""
        self._listeners.append(listener)

    def observe(self, pos: int) -> None:
        """Learn that all positions up to `pos` are committed (another node told so)."""
        if pos > self.position:
            self.position = pos
            metrics.POSITION.set(pos)

    def write(self, write: Write[T]) -> Deferred[Committed[T]]:
        """Commit `write`; the Deferred fires after the commit and after the listeners were called.

        Raises `LostRace`, what `run` raises, DatabaseUnavailable or psycopg2.Error; then nothing of it is stored.
        """
        done: Deferred[Committed[T]] = Deferred()
        self._pending.append(Member(write, done))
        if not self._busy:
            self._start_group()
        return done

    def _start_group(self) -> None:
        self._busy = True
        members = _next_group(self._pending)
        started = perf_counter()

        def landed(pos: int) -> None:
            metrics.GROUP_SECONDS.observe(perf_counter() - started)
            metrics.GROUP_WRITES.observe(len(members))
            self._land(members, pos)

        def failed(failure: Failure) -> None:
            error = failure.value if isinstance(failure.value, Exception) else RuntimeError(failure)
            log.error("journal_failed", error=str(error))
            for member in members:
                member.outcome = member.outcome or error
            landed(self.position)

        self._group = self._lane.run(lambda: self._commit.run(members)).addCallbacks(landed, failed)

    def _land(self, members: Sequence[Member], pos: int) -> None:
        self._landed.append((members, pos))
        if self._pending:
            self._start_group()  # the server works on it while we tell about this one
        else:
            self._busy = False
        if self._telling:
            return
        self._telling = True
        try:
            while self._landed:
                self._tell(*self._landed.popleft())
        finally:
            self._telling = False
        if not self._busy:
            for idle in self._idle:
                idle.callback(None)
            self._idle.clear()

    def _tell(self, members: Sequence[Member], pos: int) -> None:
        self.observe(pos)
        landed = [
            Landed(member.write.changes, member.write.payload, member.outcome.positions)
            for member in members
            if isinstance(member.outcome, Committed)
        ]
        if landed:
            taken = [each.positions for each in landed if each.positions]
            first, last = (taken[0][0], taken[-1][-1]) if taken else (pos + 1, pos)
            self.observe(last)
            for listener in self._listeners:
                try:
                    listener(first, last, landed)
                except Exception:
                    log.exception("journal_listener_failed")
        for member in members:
            _fire(member)


def _next_group(pending: deque[Member]) -> list[Member]:
    """Take what can be committed together; the order of writes that guard the same room is kept.

    A guard that says which version it makes can be followed by another of the same room. After one that does not, only
    the database knows, so the next has to wait.
    """
    members: list[Member] = []
    later: list[Member] = []
    closed: set[RoomID] = set()
    entries = 0
    while pending and len(members) < GROUP_WRITES and entries < GROUP_ENTRIES:
        member = pending.popleft()
        guards = member.write.guards
        if guards and any(guard.room_id in closed for guard in guards):
            closed.update(guard.room_id for guard in guards)
            later.append(member)
            continue
        closed.update(guard.room_id for guard in guards if guard.becomes is None)
        entries += len(member.write.entries)
        members.append(member)
    pending.extendleft(reversed(later))
    return members


def _fire(member: Member) -> None:
    done: Deferred[Any] = member.done
    if done.called:  # its caller went away
        return
    if isinstance(member.outcome, Committed):
        done.callback(member.outcome)
    else:
        done.errback(member.outcome or RuntimeError("a write without an outcome"))
