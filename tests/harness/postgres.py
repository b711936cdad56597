"""Real PostgreSQL for tests: one server a session, databases copied from a migrated template, emptied between tests.

The server is an embedded one without fsync, or the one that `MERIDIAN_TEST_DSN` names (its user must be allowed to
create databases).
"""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp

import orjson
import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from storage.connections import Connection, disconnect
from storage.database import Database, Pool
from storage.embedded import EmbeddedPostgres
from storage.journal import Journal
from storage.migrate import migrate
from storage.workers import InlineWorkers

KEPT = ("schema_migrations",)
_TABLES = """
    with recursive ordered as (
        select oid, 0 as depth from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
            and not relispartition
        union
        select fk.conrelid, depth + 1 from ordered
            join pg_constraint fk on fk.confrelid = ordered.oid and fk.contype = 'f'
        where fk.conrelid <> fk.confrelid and depth < 50
    )
    select relname from ordered join pg_class using (oid) group by relname order by max(depth) desc, relname"""


class TestServer:
    """A PostgreSQL server that makes databases for tests."""

    __test__ = False

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._embedded: EmbeddedPostgres | None = None
        self._made: list[str] = []
        external = os.environ.get("MERIDIAN_TEST_DSN")
        if external:
            self.dsn = external
        else:
            self._folder = Path(mkdtemp(prefix="meridian-test-"))
            self._folder.chmod(0o755)
            self._embedded = EmbeddedPostgres(self._folder, {"fsync": "off", "full_page_writes": "off"})
            self.dsn = self._embedded.start()
        self._template = self._create("template1")
        migrate(self._template)

    def create_database(self) -> str:
        """A new database with the whole schema; gives its DSN."""
        return self._create(parse_dsn(self._template)["dbname"])

    def create_empty_database(self) -> str:
        """A new database without any table; gives its DSN."""
        return self._create("template0")

    def stop(self) -> None:
        """Drop what was made, stop what was started."""
        if self._embedded is None:
            for name in self._made:
                self._run(f"drop database if exists {name} with (force)")
        else:
            os.kill(self._embedded.pid or 0, signal.SIGQUIT)  # nobody will read what it would write down
            self._embedded.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _create(self, template: str) -> str:
        name = f"meridian_test_{os.getpid()}_{len(self._made)}"
        self._run(f"create database {name} template {template} encoding 'UTF8'")
        self._made.append(name)
        return make_dsn(self.dsn, dbname=name)

    def _run(self, sql: str) -> None:
        opened = psycopg2.connect(self.dsn)
        opened.autocommit = True
        with closing(opened), opened.cursor() as cursor:
            cursor.execute(sql)


class KeptDatabase(Database):
    """One whose connections stay open for the next one: a session that has read the catalogue once is quick."""

    def __init__(self, dsn: str, kept: dict[str, list[Connection]]) -> None:
        self._kept = kept
        super().__init__(dsn, InlineWorkers())

    def pool(self, application: str, *, read_only: bool = False) -> Pool:
        """The pool of this name, with the connections that are kept for it."""
        made = super().pool(application, read_only=read_only)
        made.idle = self._kept.setdefault(application, made.idle)
        return made

    def close(self) -> None:
        """Let nobody use it any more."""
        self.closed = True
        for pool in self._pools.values():
            pool.idle = []


class TestDatabase:
    """One database that can be emptied: rows are deleted (a few ms), never truncated.

    Sequences, and rows that the migrations made, are then as after migrating.
    """

    __test__ = False

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._kept: dict[str, list[Connection]] = {}
        self._connection = psycopg2.connect(dsn, application_name="tests")
        self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(_TABLES)
            tables = [name for (name,) in cursor.fetchall() if name not in KEPT]
            deletes = [f"delete from {name}" for name in tables]
            inserts = []
            for name in reversed(tables):
                cursor.execute(f"select jsonb_agg(to_jsonb(t))::text from {name} t")
                ((rows,),) = cursor.fetchall()
                if rows:
                    records = f"jsonb_populate_recordset(null::{name}, %s)"
                    fill = f"insert into {name} overriding system value select * from {records}"
                    inserts.append(cursor.mogrify(fill, (rows,)).decode())
            cursor.execute(
                "select schemaname, sequencename, start_value from pg_sequences where schemaname = 'public'"
            )
            resets = [
                f"select setval('{schema}.{name}', {start}, false)"
                for schema, name, start in cursor.fetchall()
            ]
        self._empty = ";".join([*deletes, *inserts, *resets])

    def empty(self) -> None:
        """Back to the state after the migrations."""
        with self._connection.cursor() as cursor:
            cursor.execute(self._empty)

    def rows(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        """What a statement gives, seen from outside; for statements without rows, an empty list."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def json(self, sql: str) -> object:
        """The only value of a statement, read as JSON."""
        ((value,),) = self.rows(sql)
        return orjson.loads(value) if isinstance(value, str | bytes) else value

    def opened(self) -> Database:
        """The storage layer on it; every Deferred has fired when it is returned."""
        return KeptDatabase(self.dsn, self._kept)

    def close(self) -> None:
        """Let go of all connections."""
        for idle in self._kept.values():
            while idle:
                disconnect(idle.pop())
        self._connection.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestServer]:
    """The session's server."""
    server = TestServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def session_database(postgres: TestServer) -> Iterator[TestDatabase]:
    """The database that all tests of the session share."""
    shared = TestDatabase(postgres.create_database())
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def three_databases(postgres: TestServer) -> Iterator[tuple[TestDatabase, ...]]:
    """Databases for three servers."""
    made = tuple(TestDatabase(postgres.create_database()) for _ in range(3))
    yield made
    for each in made:
        each.close()


@pytest.fixture
def test_database(session_database: TestDatabase) -> TestDatabase:
    """The shared database, empty."""
    session_database.empty()
    return session_database


@pytest.fixture
def database(test_database: TestDatabase) -> Iterator[Database]:
    """The storage layer on the empty database."""
    opened = test_database.opened()
    yield opened
    opened.close()


@pytest.fixture
def journal(database: Database) -> Journal:
    """A journal on it."""
    return Journal(database, "tests")
