"""One group's transaction: what the journal does on the database's side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.errorcodes import DIVISION_BY_ZERO
from psycopg2.extensions import cursor as Cursor
from twisted.internet.defer import Deferred

from homeserver.protocol.identifiers import RoomID
from storage import metrics
from storage.bulk import Entry
from storage.connections import Connection, is_broken, is_retriable
from storage.database import Database, DatabaseUnavailable, commit, roll_back
from storage.groups import LOCK_ROOMS, GuardChain, body, bump_rooms, set_versions
from storage.transaction import Transaction
from storage.writes import Committed, LostRace, RunResult, Write

RETRIES = 4


@dataclass(slots=True)
class Member:
    """A write on its way: `outcome` is decided here, `done` fires on the reactor."""

    write: Write[Any]
    done: Deferred[Committed[Any]]
    entries: Sequence[Entry] = ()
    value: Any = None
    outcome: Committed[Any] | Exception | None = None


@dataclass(slots=True)
class _Sent:
    """Whose rows are in the transaction, and how many positions each takes."""

    members: Sequence[Member]
    taken: Sequence[int]

    def settle(self, pos: int) -> None:
        """The transaction is committed; `pos` is its last position."""
        first = pos - sum(self.taken) + 1
        for member, taken in zip(self.members, self.taken, strict=True):
            member.outcome = Committed(member.value, range(first, first + taken), pos)
            first += taken


class GroupCommit:
    """Commits groups one after the other on one connection, each exactly once."""

    def __init__(self, database: Database, name: str) -> None:
        self._name = name
        self._application = f"meridian journal {name}"[:63]
        self._pool = database.pool(self._application)
        self._mark = 0
        self._sent: _Sent | None = None
        self.least = 0
        """So many positions at least are taken by each group."""

    def run(self, members: Sequence[Member]) -> int:
        """Commit the group and decide each member's outcome; gives the last committed position.

        A group that fails as a whole is retried member by member.
        """
        try:
            return self._together(members)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            if len(members) == 1:
                members[0].outcome = error
                return 0
        metrics.GROUP_FAILURES.inc()
        pos = 0
        for member in members:
            try:
                pos = max(pos, self._together([member]))
            except DatabaseUnavailable:
                raise
            except Exception as error:
                member.outcome = error
        return pos

    def _together(self, members: Sequence[Member]) -> int:
        """The group as one transaction, again after a deadlock or a lost connection."""
        for retries_left in reversed(range(RETRIES)):
            self._mark += 1
            self._sent = None
            opened = self._pool.take()
            pid = opened.get_backend_pid()
            try:
                return self._attempt(opened, members)
            except Exception as error:
                if is_broken(opened):
                    if (pos := self._committed_after_all(pid)) is not None:
                        return pos
                elif not is_retriable(error):
                    raise
                if not retries_left:
                    raise
                metrics.TRANSACTION_RETRIES.inc()
            finally:
                self._pool.give(opened)
        raise AssertionError("unreachable")

    def _attempt(self, opened: Connection, members: Sequence[Member]) -> int:
        for member in members:
            member.entries, member.value, member.outcome = member.write.entries, None, None
        with opened.cursor() as cursor:
            chain = GuardChain()
            if all(member.write.run is None and _follow(chain, member) for member in members):
                try:
                    return self._in_one_string(cursor, members, chain)
                except psycopg2.DataError as error:
                    if error.pgcode != DIVISION_BY_ZERO or not chain.first:
                        raise
            tx = Transaction(cursor)
            try:
                return self._step_by_step(opened, tx, members)
            except BaseException:
                if tx.begun and not is_broken(opened):
                    roll_back(opened)
                raise

    def _in_one_string(self, cursor: Cursor, members: Sequence[Member], chain: GuardChain) -> int:
        sql, taken = body(
            cursor.mogrify, [member.entries for member in members], self._name, self._mark, self.least
        )
        if chain.first:
            sql = bump_rooms(cursor.mogrify, chain) + b";" + sql
        self._sent = _Sent(members, taken)
        cursor.execute(sql)
        return self._settle(cursor)

    def _step_by_step(self, opened: Connection, tx: Transaction, members: Sequence[Member]) -> int:
        versions = _lock_rooms(tx, members)
        before = dict(versions)
        alive = [member for member in members if _survives(tx, member, versions, alone=len(members) == 1)]
        if not alive:
            if tx.begun:
                roll_back(opened)
            return 0
        sql, taken = body(
            tx.mogrify, [member.entries for member in alive], self._name, self._mark, self.least
        )
        changed = {room_id: version for room_id, version in versions.items() if before[room_id] != version}
        if changed:
            sql = set_versions(tx.mogrify, changed) + b";" + sql
        self._sent = _Sent(alive, taken)
        tx.execute_raw(sql)
        row = tx.row()
        commit(opened, tx)
        return self._settled(row)

    def _settle(self, cursor: Cursor) -> int:
        return self._settled(cursor.fetchone())

    def _settled(self, row: tuple[Any, ...] | None) -> int:
        if row is None or self._sent is None:
            raise RuntimeError("the group's last statement gave no position")
        pos: int = row[0]
        self._sent.settle(pos)
        return pos

    def _committed_after_all(self, pid: int) -> int | None:
        """The connection broke: whether the group was committed, found by its mark; None if not.

        The old session is ended first, so that it cannot commit after we looked.
        """
        if self._sent is None:
            return None
        sent, mark = self._sent, self._mark
        opened = self._pool.take()
        try:
            with opened.cursor() as cursor:
                cursor.execute(
                    "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                    "where pid = %s and application_name = %s and pid <> pg_backend_pid()",
                    (pid, self._application),
                )
                cursor.execute("select mark, pos from journals where journal = %s", (self._name,))
                row = cursor.fetchone()
        finally:
            self._pool.give(opened)
        if row is None or row[0] != mark:
            return None
        sent.settle(row[1])
        return int(row[1])


def _follow(chain: GuardChain, member: Member) -> bool:
    guards = member.write.guards
    return not guards or chain.admits((guard.room_id, guard.version, guard.becomes) for guard in guards)


def _lock_rooms(tx: Transaction, members: Sequence[Member]) -> dict[RoomID, int]:
    rooms = {guard.room_id for member in members for guard in member.write.guards}
    if not rooms:
        return {}
    tx.execute(LOCK_ROOMS, (sorted(rooms),))
    return dict(tx.rows())


def _survives(tx: Transaction, member: Member, versions: dict[RoomID, int], *, alone: bool) -> bool:
    """Check the member's guards and run its `run`; a failure becomes its outcome and leaves no trace."""
    for guard in member.write.guards:
        if versions.get(guard.room_id) != guard.version:
            metrics.LOST_RACES.inc()
            member.outcome = LostRace(
                f"{guard.room_id} is at {versions.get(guard.room_id)}, not {guard.version}"
            )
            return False
    if member.write.run is not None and not _run(tx, member, member.write.run, alone):
        return False
    for guard in member.write.guards:
        if guard.becomes is not None:
            versions[guard.room_id] = guard.becomes
    return True


def _run(tx: Transaction, member: Member, run: Callable[[Transaction], Any], alone: bool) -> bool:
    """Run behind a savepoint, so that a failure does not touch the other members; not needed if there are none."""
    inner = tx if alone else tx.savepoint()
    try:
        result = run(inner)
    except Exception as error:
        if isinstance(error, psycopg2.Error) and (alone or is_retriable(error) or error.pgcode is None):
            raise
        member.outcome = error
        if inner is not tx and inner.begun:
            tx.execute("rollback to savepoint member")
        return False
    if isinstance(result, RunResult):
        member.value = result.value
        member.entries = [*member.write.entries, *result.entries]
    else:
        member.value = result
    return True
