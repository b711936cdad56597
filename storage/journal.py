"""Group commit: every durable write of this node, with gap-free positions in commit order (ADR 0001).

Writes that arrive while a commit is under way share the next one: one transaction, one statement a table, one fsync. If
a group fails, its writes are retried one by one, so that one bad write harms nobody else.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
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
    Missed,
    Peers,
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
    "Missed",
    "Peers",
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


@dataclass(slots=True)
class _Group:
    """A committed transaction. ``members`` are those of this node that wait to be told."""

    first: int
    last: int
    landed: Sequence[Landed]
    members: Sequence[Member] = ()

    def __lt__(self, other: "_Group") -> bool:
        return self.first < other.first


class Journal:
    """The only way to durable changes that somebody may have to see."""

    def __init__(self, database: Database, name: str) -> None:
        """`name` tells this journal's marks from those of other nodes: unique among all that run."""
        self.position = 0
        """All that is committed up to here was told to the listeners."""
        self._database = database
        self._commit = GroupCommit(database, name)
        self._lane = database.workers.lane(1)
        self._pending: deque[Member] = deque()
        self._landed: deque[_Group] = deque()
        self._heard: list[_Group] = []
        self._given_up = 0
        self._busy = False
        self._group: Deferred[None] | None = None
        self._telling = False
        self._listeners: list[Listener] = []
        self._missed: list[Missed] = []
        self._idle: list[Deferred[None]] = []
        self._peers: Peers | None = None

    async def start(self) -> None:
        """Read where the counter stands; before anything is written."""
        self._advance(await self._database.read(lambda tx: Stream(tx).position()))

    async def drain(self) -> None:
        """Wait until everything given to `write` so far is committed or failed."""
        if self._busy or self._landed:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    def listen(self, listener: Listener, missed: Missed | None = None) -> None:
        """Call `listener` after each commit, in position order, on the reactor, and `missed` in the place of those of
        which nothing is known.
        """
        self._listeners.append(listener)
        if missed is not None:
            self._missed.append(missed)

    # Other nodes.

    def join(self, peers: Peers) -> None:
        """Tell other nodes what is committed here, and expect to `hear` what they commit. From now on each group takes
        a position, so that whoever misses one sees that.
        """
        self._peers = peers
        self._commit.least = 1

    @property
    def is_shared(self) -> bool:
        """Whether other nodes write to the same database."""
        return self._peers is not None

    def hear(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        """Another node has committed a group. It is told when everything before it was."""
        if first > self.position:
            heappush(self._heard, _Group(first, last, landed))
            self._tell_all()

    def observe(self, pos: int) -> None:
        """All positions up to `pos` are committed, and those that were not told yet will not be: they are missed.

        What this node itself has committed up to there must have landed.
        """
        if pos > self._given_up:
            self._given_up = pos
            self._tell_all()

    def go_on(self) -> None:
        """Tell what can be told, and ask again for what is missing."""
        self._tell_all()

    async def catch_up(self) -> None:
        """Learn from the database what is committed by now; what of it was not heard of is missed."""
        upto = await self._database.read(lambda tx: Stream(tx).position())
        if upto > self.position:
            await self._lane.run(_nothing)  # our own groups up to there have landed before
            self.observe(upto)

    async def reach(self, pos: int) -> None:
        """Learn of what is committed up to a position that somebody has from another node. It may not exist."""
        if self._peers is not None and pos <= await self._database.read(lambda tx: Stream(tx).position()):
            await self._peers.heard(pos)
        if pos > self.position:
            await self.catch_up()

    # Writing.

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
            self._land(members)

        def failed(failure: Failure) -> None:
            error = failure.value if isinstance(failure.value, Exception) else RuntimeError(failure)
            log.error("journal_failed", error=str(error))
            for member in members:
                member.outcome = member.outcome or error
            landed(self.position)

        self._group = self._lane.run(lambda: self._commit.run(members)).addCallbacks(landed, failed)

    def _land(self, members: Sequence[Member]) -> None:
        for part in _transactions(members):
            group = self._group_of(part)
            self._landed.append(group)
            if self._peers is not None and group.landed:
                self._peers.committed(group.first, group.last, group.landed)
        if self._pending:
            self._start_group()  # the server works on it while we tell about this one
        else:
            self._busy = False
        self._tell_all()

    def _group_of(self, members: Sequence[Member]) -> _Group:
        """The members of one transaction, as it is told."""
        landed: list[Landed] = []
        first = pos = 0
        for member in members:
            outcome = member.outcome
            if isinstance(outcome, Committed):
                landed.append(Landed(member.write.changes, member.write.payload, outcome.positions))
                pos = outcome.pos
                if not first and outcome.positions:
                    first = outcome.positions[0]
        if not first:
            first = pos if self._commit.least and landed else pos + 1
        return _Group(first, pos, landed, members)

    # Telling.

    def _tell_all(self) -> None:
        if self._telling:
            return
        self._telling = True
        try:
            while (group := self._next()) is not None:
                self._tell(group)
        finally:
            self._telling = False
        if not self._busy and not self._landed:
            for idle in self._idle:
                idle.callback(None)
            self._idle.clear()

    def _next(self) -> _Group | None:
        """The group whose turn it is; None if there is none, or another node's comes first that is not known yet."""
        while True:
            while self._heard and self._heard[0].first <= self.position:
                heappop(self._heard)
            own = self._landed[0] if self._landed else None
            if own is not None and (own.first > own.last or own.first <= self.position + 1):
                return self._landed.popleft()
            first = min((each.first for each in (own, *self._heard[:1]) if each is not None), default=None)
            if first is None:
                if self._given_up <= self.position:
                    return None
                self._miss(self._given_up)
            elif first == self.position + 1:
                return heappop(self._heard)
            elif self._peers is None or self._given_up >= first - 1:
                self._miss(first - 1)
            else:
                self._peers.gap(first - 1)
                return None

    def forget(self) -> None:
        """Have the listeners forget once more what may be wrong: what was missed may have been read before it was
        committed and kept after it was found to be missed.
        """
        self._miss(self.position)

    def _miss(self, upto: int) -> None:
        self._advance(upto)
        for missed in self._missed:
            try:
                missed(upto)
            except Exception:
                log.exception("journal_listener_failed")

    def _tell(self, group: _Group) -> None:
        self._advance(group.last)
        if group.landed:
            for listener in self._listeners:
                try:
                    listener(group.first, group.last, group.landed)
                except Exception:
                    log.exception("journal_listener_failed")
        for member in group.members:
            _fire(member)

    def _advance(self, pos: int) -> None:
        if pos > self.position:
            self.position = pos
            metrics.POSITION.set(pos)


def _nothing() -> None:
    """Take a turn."""


def _transactions(members: Sequence[Member]) -> list[list[Member]]:
    """The members by transaction: mostly all share one; a group that failed was done member by member."""
    parts: list[list[Member]] = []
    pos: int | None = None
    for member in members:
        its = member.outcome.pos if isinstance(member.outcome, Committed) else pos
        if not parts or its != pos:
            parts.append([])
            pos = its
        parts[-1].append(member)
    return parts


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
