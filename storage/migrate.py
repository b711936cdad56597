"""Brings the schema up to date: numbered SQL files, forward only, each in a transaction of its own.

The first line of a migration says what it is: `-- expand` (the previous release still runs on the new schema) or
`-- contract` (takes away what no release in use needs). Nodes that start together take turns by an advisory lock.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import psycopg2
import structlog

from storage.connections import Connection, connect, disconnect
from storage.unusable import Unusable

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_KIND = re.compile(r"--\s*(expand|contract)\b")
_LOCK = 0x6D657269  # "meri"

log = structlog.get_logger(__name__)


class MigrationError(Unusable):
    """The schema cannot be brought up to date; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    kind: str
    sql: str


def migrations(folder: Traversable | None = None) -> list[Migration]:
    """All migrations in order; raises MigrationError where a number is double or a file is not marked."""
    folder = folder or files("storage").joinpath("migrations")
    found = []
    for file in folder.iterdir():
        if not file.name.endswith(".sql"):
            continue
        named = _FILE.fullmatch(file.name)
        sql = file.read_text(encoding="utf-8")
        kind = _KIND.match(sql)
        if named is None or kind is None:
            raise MigrationError(
                f"{file.name}: name it NNNN_name.sql and begin it with -- expand or -- contract"
            )
        found.append(Migration(int(named[1]), named[2], kind[1], sql))
    found.sort(key=lambda migration: migration.number)
    numbers = [migration.number for migration in found]
    if len(set(numbers)) != len(numbers):
        raise MigrationError(f"two migrations have the same number: {numbers}")
    return found


def migrate(
    dsn: str,
    steps: list[Migration] | None = None,
    begun: Callable[[Migration, int, int], object] = lambda step, number, count: None,
) -> int:
    """Apply what is missing; gives how many were. Blocks; raises MigrationError or psycopg2.Error.

    `begun` is called before each, with its number among those that are applied (from 1) and how many these are.
    A schema newer than this program is accepted: the release before must run on an expanded schema.
    """
    steps = migrations() if steps is None else steps
    opened = connect(dsn, "meridian migrations")
    try:
        with opened.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(%s)", (_LOCK,))
        done = _applied(opened)
        _check(done, steps)
        missing = [step for step in steps if step.number not in done]
        for number, step in enumerate(missing, 1):
            begun(step, number, len(missing))
            _apply(opened, step)
        return len(missing)
    finally:
        disconnect(opened)


def pending(opened: Connection) -> list[Migration]:
    """What `migrate` would apply. Changes nothing; raises MigrationError."""
    steps = migrations()
    with opened.cursor() as cursor:
        cursor.execute("select to_regclass('schema_migrations') is not null")
        ((migrated,),) = cursor.fetchall()
        if not migrated:
            return steps
        cursor.execute("select number, name from schema_migrations")
        done = dict(cursor.fetchall())
    _check(done, steps)
    return [step for step in steps if step.number not in done]


def _applied(opened: Connection) -> dict[int, str]:
    with opened.cursor() as cursor:
        cursor.execute(
            """create table if not exists schema_migrations (
                number integer primary key,
                name text collate "C" not null,
                applied_at timestamptz not null default now()
            )"""
        )
        cursor.execute("select number, name from schema_migrations")
        return dict(cursor.fetchall())


def _check(done: dict[int, str], steps: list[Migration]) -> None:
    known = {step.number: step.name for step in steps}
    for number, name in done.items():
        if number in known and known[number] != name:
            raise MigrationError(
                f"the database has migration {number:04} {name}, this program {known[number]}: "
                "it was made by a program that is not a release of this one"
            )


def _apply(opened: Connection, step: Migration) -> None:
    with opened.cursor() as cursor:
        cursor.execute("begin")
        try:
            cursor.execute(step.sql)
            cursor.execute(
                "insert into schema_migrations (number, name) values (%s, %s)", (step.number, step.name)
            )
            cursor.execute("commit")
        except psycopg2.Error as error:
            cursor.execute("rollback")
            raise MigrationError(f"migration {step.number:04} {step.name} failed: {error}") from error
    log.info("migration_applied", number=step.number, name=step.name, kind=step.kind)
