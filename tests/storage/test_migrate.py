"""Migrations: in order, once, each whole or not at all."""

import os
import threading
from pathlib import Path

import pytest

from storage.dump_schema import __file__ as dump_schema_module
from storage.dump_schema import dump_schema
from storage.migrate import Migration, MigrationError, migrate, migrations
from tests.harness.postgres import TestDatabase, TestServer

FIRST = Migration(1, "first", "expand", "create table first (number int); insert into first values (1)")
SECOND = Migration(2, "second", "expand", "alter table first add column name text default '50 %'")
BROKEN = Migration(3, "broken", "contract", "create table third (number int); select 1 / 0")


@pytest.fixture
def empty(postgres: TestServer) -> TestDatabase:
    """A database without a schema."""
    return TestDatabase(postgres.create_empty_database())


def test_migrations_are_applied_in_order_and_once(empty: TestDatabase) -> None:
    assert migrate(empty.dsn, [FIRST]) == 1
    assert migrate(empty.dsn, [FIRST, SECOND]) == 1
    assert migrate(empty.dsn, [FIRST, SECOND]) == 0
    assert empty.rows("select * from first") == [(1, "50 %")]
    assert empty.rows("select number, name from schema_migrations order by 1") == [
        (1, "first"),
        (2, "second"),
    ]


def test_a_failing_migration_leaves_nothing(empty: TestDatabase) -> None:
    with pytest.raises(MigrationError, match="0003 broken failed: division by zero"):
        migrate(empty.dsn, [FIRST, BROKEN])
    assert empty.rows("select to_regclass('third')") == [(None,)]
    assert empty.rows("select number from schema_migrations") == [(1,)]


def test_a_schema_of_a_later_release_is_accepted(empty: TestDatabase) -> None:
    migrate(empty.dsn, [FIRST, SECOND])
    assert migrate(empty.dsn, [FIRST]) == 0


def test_a_schema_of_another_program_is_refused(empty: TestDatabase) -> None:
    migrate(empty.dsn, [FIRST])
    with pytest.raises(MigrationError, match="0001 first, this program other"):
        migrate(empty.dsn, [Migration(1, "other", "expand", "select 1")])


def test_nodes_that_start_together_take_turns(empty: TestDatabase) -> None:
    slow = Migration(1, "slow", "expand", "create table slow (number int); select pg_sleep(0.2)")
    applied: list[int] = []
    threads = [threading.Thread(target=lambda: applied.append(migrate(empty.dsn, [slow]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [0, 0, 0, 1]


def test_the_real_migrations_are_well_named() -> None:
    found = migrations()
    assert found[0].name == "stream"
    assert [step.number for step in found] == sorted({step.number for step in found})


@pytest.mark.parametrize(
    ("name", "sql"),
    [("0001_x.sql", "select 1"), ("1_x.sql", "-- expand\nselect 1"), ("x.sql", "-- expand\n")],
)
def test_a_file_that_is_not_marked_or_numbered_is_refused(tmp_path: Path, name: str, sql: str) -> None:
    (tmp_path / name).write_text(sql)
    with pytest.raises(MigrationError, match="expand or"):
        migrations(tmp_path)


def test_two_files_with_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0001_b.sql"):
        (tmp_path / name).write_text("-- expand\nselect 1")
    with pytest.raises(MigrationError, match="same number"):
        migrations(tmp_path)


@pytest.mark.skipif(
    "MERIDIAN_TEST_DSN" in os.environ, reason="another server's pg_dump may write it otherwise"
)
def test_the_schema_for_reading_is_up_to_date(postgres: TestServer) -> None:
    """Else: make schema."""
    written = Path(dump_schema_module).with_name("schema.sql").read_text(encoding="utf-8")
    assert dump_schema(postgres.create_database()) == written


def test_identifier_columns_are_compared_byte_by_byte(session_database: TestDatabase) -> None:
    """Text that is looked up or sorted must not depend on a locale that an upgrade of the system changes."""
    assert (
        session_database.rows(
            """select indrelid::regclass::text, attname from pg_index
            join pg_attribute on attrelid = indrelid and attnum = any(indkey)
            join pg_class on pg_class.oid = indrelid and relnamespace = 'public'::regnamespace
        where attcollation not in (0, 'pg_catalog."C"'::regcollation)
            and indcollation[array_position(indkey::int2[], attnum) - 1] <> 'pg_catalog."C"'::regcollation"""
        )
        == []
    )
