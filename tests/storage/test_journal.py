"""The journal: positions in commit order without gaps, groups, guards, and what a failure does not touch."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from random import Random  # noqa: TID251 - seeded
from typing import Any, TypeVar

import psycopg2
import pytest
from twisted.internet.defer import Deferred

from homeserver.protocol.identifiers import RoomID, UserID
from storage.commit import Member
from storage.database import Database
from storage.journal import (
    Changes,
    Committed,
    Journal,
    Landed,
    LostRace,
    RoomGuard,
    RunResult,
    Write,
    _next_group,
)
from storage.query import bulk, bulk_delete, each
from storage.transaction import Transaction
from storage.workers import InlineWorkers
from tests.harness.postgres import TestDatabase

T = TypeVar("T")

NOTES = bulk("notes", ("note", "body"), position="pos")
LATEST = bulk(
    "latest_notes",
    ("name", "note_pos"),
    "on conflict (name) do update set note_pos = excluded.note_pos, times = latest_notes.times + 1",
    refers=("note_pos",),
)
TALLIES = bulk("tallies", ("name", "n"), "on conflict (name) do update set n = tallies.n + excluded.n")
TALLY_ENDS = bulk_delete("tallies", ("name",))
RENAMES = each("update tallies set name = %(new)s where name = %(old)s", ("old", "new"), rank=1)


@pytest.fixture(scope="module")
def tables(session_database: TestDatabase) -> Iterator[None]:
    """Tables of the tests' own, beside the real schema."""
    session_database.rows(
        """create table notes (
            pos bigint primary key, note text not null unique, body text not null check (body <> 'poison')
        );
        create table latest_notes (name text primary key, note_pos bigint not null, times int not null default 1);
        create table tallies (name text primary key, n bigint not null)"""
    )
    yield
    session_database.rows("drop table notes, latest_notes, tallies")


@pytest.fixture(autouse=True)
def clean(tables: None, test_database: TestDatabase) -> Iterator[None]:
    """The tests' tables are not among those that are emptied."""
    yield
    test_database.rows("delete from notes; delete from latest_notes; delete from tallies")


def note(name: str, body: str = "text") -> Write[None]:
    return Write([NOTES.row(name, body)])


def give(journal: Journal, write: Write[Any]) -> Deferred[Any]:
    return journal.write(write)


def positions(test_database: TestDatabase) -> list[object]:
    return [pos for (pos,) in test_database.rows("select pos from notes order by pos")]


def result(deferred: Deferred[Any]) -> Committed[Any]:
    """What an inline write gave; raises what it failed with."""
    outcome: list[Committed[Any]] = []
    failures: list[BaseException] = []
    deferred.addCallbacks(outcome.append, lambda failure: failures.append(failure.value))
    if failures:
        raise failures[0]
    return outcome[0]


class HeldWorkers(InlineWorkers):
    """Runs nothing until told to, so that writes pile up in one group."""

    def __init__(self) -> None:
        self.held: list[Callable[[], object]] = []

    def run(self, fn: Callable[[], T]) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        inline = super().run
        self.held.append(lambda: inline(fn).addBoth(done.callback))
        return done

    def release(self) -> None:
        while self.held:
            self.held.pop(0)()


@pytest.fixture
def held(test_database: TestDatabase) -> HeldWorkers:
    return HeldWorkers()


@pytest.fixture
def grouped(held: HeldWorkers, test_database: TestDatabase) -> Iterator[Journal]:
    """A journal whose first group waits, so that all further writes share the second."""
    database = Database(test_database.dsn, held)
    yield Journal(database, "grouped")
    database.close()


def test_a_write_is_stored_with_the_next_position(journal: Journal, test_database: TestDatabase) -> None:
    first, second = result(give(journal, note("a"))), result(give(journal, note("b")))
    assert [*first.positions] == [1]
    assert [*second.positions] == [2]
    assert second.pos == journal.position == 2
    assert test_database.rows("select note, pos from notes order by pos") == [("a", 1), ("b", 2)]


def test_entries_of_one_write_take_positions_in_their_order(
    journal: Journal, test_database: TestDatabase
) -> None:
    written = result(give(journal, Write([NOTES.row(name, "") for name in "abc"])))
    assert [*written.positions] == [1, 2, 3]
    assert test_database.rows("select note from notes order by pos") == [("a",), ("b",), ("c",)]


def test_an_entry_can_carry_another_entrys_position(
    grouped: Journal, held: HeldWorkers, test_database: TestDatabase
) -> None:
    for number in range(3):
        give(
            grouped,
            Write([NOTES.row(f"a{number}", ""), NOTES.row(f"b{number}", ""), LATEST.row(f"n{number}", 1)]),
        )
    held.release()
    assert test_database.rows(
        "select name, note from latest_notes join notes on pos = note_pos order by name"
    ) == [("n0", "b0"), ("n1", "b1"), ("n2", "b2")]


def test_writes_that_wait_share_one_transaction(
    grouped: Journal, held: HeldWorkers, test_database: TestDatabase
) -> None:
    for number in range(20):
        give(grouped, note(f"{number}"))
    held.release()
    transactions = test_database.rows("select count(distinct xmin::text) from notes")
    assert transactions == [(2,)]  # the first went alone
    assert positions(test_database) == [*range(1, 21)]


def test_a_poison_write_harms_nobody_else(
    grouped: Journal, held: HeldWorkers, test_database: TestDatabase
) -> None:
    writes = [give(grouped, note(f"{number}", "poison" if number == 5 else "text")) for number in range(10)]
    held.release()
    with pytest.raises(psycopg2.errors.CheckViolation):
        result(writes.pop(5))
    assert [result(write).pos for write in writes] == [*range(1, 10)]
    assert positions(test_database) == [*range(1, 10)]


def test_a_rollback_leaves_no_gap(journal: Journal, test_database: TestDatabase) -> None:
    result(give(journal, note("a")))
    with pytest.raises(psycopg2.errors.UniqueViolation):
        result(give(journal, note("a")))
    assert [*result(give(journal, note("b"))).positions] == [2]
    assert positions(test_database) == [1, 2]


def test_run_comes_first_and_may_add_entries(journal: Journal, test_database: TestDatabase) -> None:
    def run(tx: Transaction) -> RunResult[str]:
        tx.execute("select count(*) from notes")
        return RunResult("seen", [NOTES.row(f"after {tx.rows()[0][0]}", "")])

    written = result(give(journal, Write([NOTES.row("a", "")], run=run)))
    assert written.value == "seen"
    assert [*written.positions] == [1, 2]
    assert test_database.rows("select note from notes order by pos") == [("a",), ("after 0",)]


def test_a_failing_run_is_undone_without_a_second_try_for_the_others(
    grouped: Journal, held: HeldWorkers, test_database: TestDatabase
) -> None:
    ran: list[str] = []

    def run(name: str, fails: bool) -> Write[str]:
        def inside(tx: Transaction) -> str:
            ran.append(name)
            tx.execute("insert into tallies values (%s, 1)", (name,))
            if fails:
                raise ValueError(name)
            return name

        return Write([NOTES.row(name, "")], run=inside)

    give(grouped, note("first"))
    good, bad, other = (give(grouped, run(name, name == "bad")) for name in ("good", "bad", "other"))
    held.release()
    with pytest.raises(ValueError, match="bad"):
        result(bad)
    assert [result(good).value, result(other).value] == ["good", "other"]
    assert ran == ["good", "bad", "other"]
    assert test_database.rows("select name from tallies order by name") == [("good",), ("other",)]
    assert positions(test_database) == [1, 2, 3]


def test_a_database_error_inside_run_is_undone_alone(
    grouped: Journal, held: HeldWorkers, test_database: TestDatabase
) -> None:
    give(grouped, note("first"))
    bad = give(grouped, Write(run=lambda tx: tx.execute("select 1 / 0")))
    good = give(grouped, Write([NOTES.row("good", "")], run=lambda tx: tx.execute("select 1")))
    held.release()
    with pytest.raises(psycopg2.errors.DivisionByZero):
        result(bad)
    assert [*result(good).positions] == [2]


def test_the_same_key_twice_in_a_group_is_written_in_order(
    grouped: Journal, held: HeldWorkers, test_database: TestDatabase
) -> None:
    for _ in range(5):
        give(grouped, Write([TALLIES.row("x", 2), TALLIES.row("y", 1)]))
    held.release()
    assert test_database.rows("select name, n from tallies order by name") == [("x", 10), ("y", 5)]


def test_deletes_and_single_statements_share_the_transaction(
    journal: Journal, test_database: TestDatabase
) -> None:
    result(give(journal, Write([TALLIES.row(name, 1) for name in "abc"])))
    result(give(journal, Write([TALLY_ENDS.row("a"), RENAMES.row("b", "z"), NOTES.row("n", "")])))
    assert test_database.rows("select name from tallies order by name") == [("c",), ("z",)]


def test_a_write_without_positions_takes_none(journal: Journal) -> None:
    result(give(journal, note("a")))
    written = result(give(journal, Write([TALLIES.row("x", 1)])))
    assert not written.positions
    assert written.pos == 1


def test_quotes_percents_and_backslashes_survive(journal: Journal, test_database: TestDatabase) -> None:
    body = "100 % of %s \\ 'quoted' \"and\" ünï\U0001f600\n; drop table notes"
    result(give(journal, note("a%(x)s", body)))
    assert test_database.rows("select note, body from notes") == [("a%(x)s", body)]


def test_listeners_hear_groups_in_position_order_before_the_callers(
    grouped: Journal, held: HeldWorkers
) -> None:
    heard: list[object] = []

    def listener(first: int, last: int, landed: object) -> None:
        heard.append((first, last))
        if last == 1:
            give(grouped, note("from a listener"))

    grouped.listen(listener)
    grouped.listen(lambda first, last, landed: heard.append((first, last)))
    give(grouped, note("a")).addCallback(lambda committed: heard.append(committed.pos))
    for name in "bcd":
        give(grouped, note(name))
    held.release()
    assert heard == [(1, 1), (1, 1), 1, (2, 4), (2, 4), (5, 5), (5, 5)]


def test_a_failing_listener_keeps_nobody_from_hearing(journal: Journal) -> None:
    heard: list[int] = []

    def fails(first: int, last: int, landed: object) -> None:
        raise RuntimeError("listener")

    journal.listen(fails)
    journal.listen(lambda first, last, landed: heard.append(last))
    assert result(give(journal, note("a"))).pos == 1
    assert heard == [1]


def test_listeners_get_changes_payload_and_positions_of_what_was_stored(
    grouped: Journal, held: HeldWorkers
) -> None:
    changes = Changes(rooms=frozenset({RoomID("!r:x")}), users=frozenset({UserID("@u:x")}))
    heard: list[Landed] = []
    grouped.listen(lambda first, last, landed: heard.extend(landed))
    give(grouped, note("a"))
    give(grouped, Write([NOTES.row("b", "poison")], payload="lost"))
    give(grouped, Write([NOTES.row("c", ""), NOTES.row("d", "")], changes=changes, payload="kept"))
    held.release()
    assert heard[-1] == Landed(changes, "kept", range(2, 4))
    assert "lost" not in [landed.payload for landed in heard]


def test_a_start_reads_where_the_counter_stands(journal: Journal, database: Database) -> None:
    result(give(journal, note("a")))
    later = Journal(database, "later")
    Deferred.fromCoroutine(later.start())
    assert later.position == 1


def test_a_lost_connection_does_not_write_twice(
    test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after the commit and before the answer: the mark tells that it happened."""
    database = Database(test_database.dsn, InlineWorkers())
    journal = Journal(database, "lossy")
    result(give(journal, note("a")))
    commit = journal._commit

    def lose(cursor: psycopg2.extensions.cursor) -> int:
        monkeypatch.undo()
        cursor.connection.close()
        raise psycopg2.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(commit, "_settle", lose)
    written = result(give(journal, note("b")))
    assert [*written.positions] == [2]
    assert positions(test_database) == [1, 2]
    database.close()


def test_a_connection_that_breaks_before_the_commit_is_tried_again(test_database: TestDatabase) -> None:
    database = Database(test_database.dsn, InlineWorkers())
    journal = Journal(database, "killed")
    result(give(journal, note("a")))
    test_database.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%% killed'"
    )
    assert [*result(give(journal, note("b"))).positions] == [2]
    database.close()


def member(*room_guards: RoomGuard) -> Member:
    return Member(Write(guards=room_guards), Deferred())


def test_only_guards_that_say_what_follows_can_share_a_group() -> None:
    open_ended, chained = RoomGuard(RoomID("!a"), 1), RoomGuard(RoomID("!b"), 1, 2)
    pending = [
        member(open_ended),
        member(chained),
        member(chained),
        member(open_ended),
        member(),
        member(open_ended),
    ]
    queue = deque(pending)
    assert _next_group(queue) == [pending[0], pending[1], pending[2], pending[4]]
    assert [*queue] == [pending[3], pending[5]]


def write_much(dsn: str, name: str, wrong: list[object]) -> None:
    """One node: 60 writes of one to four rows, a fifth of them with a row that the database refuses."""
    database = Database(dsn, InlineWorkers())
    journal = Journal(database, name)
    chance = Random(name)
    last = 0
    for number in range(60):
        entries = [NOTES.row(f"{name} {number} {part}", "") for part in range(chance.randint(1, 4))]
        if chance.random() < 0.2:
            entries.append(NOTES.row(f"{name} {number} bad", "poison"))
        try:
            committed = result(journal.write(Write(entries)))
        except psycopg2.errors.CheckViolation:
            continue
        if committed.positions[0] <= last:
            wrong.append((name, committed))
        last = committed.pos
    database.close()


def watch(dsn: str, stop: threading.Event, wrong: list[object]) -> None:
    """A reader: whenever it looks, every position up to the last one is there."""
    watching = TestDatabase(dsn)
    while not stop.is_set():
        ((count, highest, counter),) = watching.rows(
            "select count(*), coalesce(max(notes.pos), 0), (select pos from stream) from notes"
        )
        if not count == highest == counter:
            wrong.append((count, highest, counter))
    watching.close()


def test_positions_are_gap_free_and_in_commit_order_with_several_nodes(test_database: TestDatabase) -> None:
    stop = threading.Event()
    wrong: list[object] = []
    nodes = [
        threading.Thread(target=write_much, args=(test_database.dsn, f"node{number}", wrong))
        for number in range(3)
    ]
    watcher = threading.Thread(target=watch, args=(test_database.dsn, stop, wrong))
    watcher.start()
    for node in nodes:
        node.start()
    for node in nodes:
        node.join()
    stop.set()
    watcher.join()
    assert wrong == []
    stored = positions(test_database)
    assert stored == [*range(1, len(stored) + 1)]
    assert len(stored) > 150


@pytest.fixture
def rooms(test_database: TestDatabase) -> list[RoomID]:
    """Three rooms at version 1."""
    made = [RoomID(f"!{name}:x") for name in "abc"]
    for room_id in made:
        test_database.rows("insert into rooms values (%s, '12', 1, 0, '', 0, 0)", room_id)
    return made


@pytest.mark.parametrize("becomes", [2, None])
def test_a_stale_guard_loses_and_stores_nothing(
    journal: Journal, test_database: TestDatabase, rooms: list[RoomID], becomes: int | None
) -> None:
    room = rooms[0]
    result(give(journal, Write([NOTES.row("a", "")], guards=[RoomGuard(room, 1, 5)])))
    with pytest.raises(LostRace):
        result(give(journal, Write([NOTES.row("b", "")], guards=[RoomGuard(room, 1, becomes)])))
    assert positions(test_database) == [1]
    assert test_database.rows("select max(version) from rooms") == [(5,)]


def test_writes_to_one_room_are_chained_in_one_group(
    grouped: Journal, held: HeldWorkers, test_database: TestDatabase, rooms: list[RoomID]
) -> None:
    give(grouped, note("first"))
    for version in range(1, 9):
        guards = [RoomGuard(room_id, version, version + 1) for room_id in rooms]
        give(grouped, Write([NOTES.row(f"{version}", "")], guards=guards))
    held.release()
    assert positions(test_database) == [*range(1, 10)]
    assert test_database.rows("select distinct version from rooms") == [(9,)]
    assert test_database.rows("select count(distinct xmin::text) from notes") == [(2,)]


def test_in_a_group_only_the_stale_write_loses(
    grouped: Journal, held: HeldWorkers, test_database: TestDatabase, rooms: list[RoomID]
) -> None:
    give(grouped, note("first"))
    written = [
        give(grouped, Write([NOTES.row("good", "")], guards=[RoomGuard(rooms[0], 1, 2)])),
        give(grouped, Write([NOTES.row("good too", "")], guards=[RoomGuard(rooms[0], 2, 3)])),
        give(grouped, Write([NOTES.row("other room", "")], guards=[RoomGuard(rooms[1], 1)])),
    ]
    stale = [
        give(grouped, Write([NOTES.row("stale", "")], guards=[RoomGuard(rooms[1], 7, 8)])),
        give(grouped, Write([NOTES.row("no room", "")], guards=[RoomGuard(RoomID("!none:x"), 1, 2)])),
    ]
    held.release()
    for lost in stale:
        with pytest.raises(LostRace):
            result(lost)
    assert [result(write).pos for write in written] == [4, 4, 4]
    assert test_database.rows("select version from rooms order by room_id") == [(3,), (1,), (1,)]


def test_after_a_failed_write_the_one_built_upon_it_loses(
    grouped: Journal, held: HeldWorkers, rooms: list[RoomID]
) -> None:
    give(grouped, note("first"))
    bad = give(grouped, Write([NOTES.row("bad", "poison")], guards=[RoomGuard(rooms[0], 1, 2)]))
    upon = give(grouped, Write([NOTES.row("upon it", "")], guards=[RoomGuard(rooms[0], 2, 3)]))
    again = give(grouped, Write([NOTES.row("again", "")], guards=[RoomGuard(rooms[0], 1, 2)]))
    held.release()
    with pytest.raises(psycopg2.errors.CheckViolation):
        result(bad)
    with pytest.raises(LostRace):
        result(upon)
    assert [*result(again).positions] == [2]


def test_a_journal_that_starts_again_leaves_no_session_behind(
    database: Database, test_database: TestDatabase
) -> None:
    for text in "abc":
        result(give(Journal(database, "again"), note(text)))
    sessions = "select count(*) from pg_stat_activity where application_name = 'meridian journal again'"
    assert test_database.rows(sessions) == [(1,)]
