"""Declared queries and statements: checked when they are declared, and against the migrated schema."""

import pkgutil
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import psycopg2
import pytest

import storage
import storage.tables
from homeserver.protocol.identifiers import RoomID
from storage.bulk import Bulk, Deletion, Each, Placed
from storage.connections import connect, disconnect
from storage.database import Database
from storage.query import (
    DECLARED,
    DeclarationError,
    NoRow,
    Queries,
    affected,
    bulk,
    each,
    many,
    maybe,
    nothing,
    one,
    query,
)
from tests.harness.postgres import TestDatabase

MODULES = [
    import_module(found.name)
    for package in (storage, storage.tables)
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
]

QUERIES = sorted(
    name
    for name, declared in DECLARED.items()
    if name.startswith("storage.") and declared.prepared() is not None
)
STATEMENTS = [
    value
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, Bulk | Deletion | Each)
]


@dataclass(frozen=True, slots=True)
class Pair:
    """A row type."""

    name: str
    number: int


class Samples(Queries):
    """Queries without tables."""

    @query("select * from (values ('a', 1), ('b', 2)) v where column2 >= %(least)s order by 1", many(Pair))
    def pairs(self, least: int = 0) -> list[Pair]: ...

    @query("select column1 from (values ('!a'), ('!b')) v where column1 = any(%(rooms)s)", many(RoomID))
    def rooms(self, rooms: list[RoomID]) -> list[RoomID]: ...

    @query("select 1, 'x' where %(found)s", maybe(tuple[int, str]))
    def perhaps(self, found: bool) -> tuple[int, str] | None: ...

    @query("select 1 where %(found)s", one(int))
    def surely(self, found: bool) -> int: ...

    @query("select %(a)s + %(b)s", one(int))
    def sum(self, a: int | None, b: int) -> int: ...

    @query("select '100 %%', %(data)s::bytea, %(document)s::jsonb", one(tuple[str, bytes, dict[str, object]]))
    def values(self, data: bytes, document: dict[str, object]) -> tuple[str, bytes, dict[str, object]]: ...


def read(database: Database, fn: Any) -> Any:
    """What an inline read gives, or raises."""
    outcome: list[Any] = []
    failures: list[BaseException] = []
    database.read(fn).addCallbacks(outcome.append, lambda failure: failures.append(failure.value))
    if failures:
        raise failures[0]
    return outcome[0]


def prepared(database: Database) -> int:
    """How many statements the session has prepared, for other tests as well."""
    ((number,),) = read(
        database, lambda tx: tx.execute("select count(*) from pg_prepared_statements") or tx.rows()
    )
    return int(number)


def test_rows_become_what_was_declared(database: Database) -> None:
    assert read(database, lambda tx: Samples(tx).pairs(2)) == [Pair("b", 2)]
    assert read(database, lambda tx: Samples(tx).pairs()) == [Pair("a", 1), Pair("b", 2)]
    assert read(database, lambda tx: Samples(tx).rooms(rooms=[RoomID("!b")])) == ["!b"]
    assert read(database, lambda tx: Samples(tx).rooms([])) == []
    assert read(database, lambda tx: Samples(tx).perhaps(True)) == (1, "x")
    assert read(database, lambda tx: Samples(tx).perhaps(False)) is None
    assert read(database, lambda tx: Samples(tx).surely(True)) == 1


def test_answers_do_not_change_when_a_session_prepares_the_query(database: Database) -> None:
    before = prepared(database)
    for _ in range(10):
        assert read(database, lambda tx: Samples(tx).pairs(2)) == [Pair("b", 2)]
        assert read(database, lambda tx: Samples(tx).rooms([RoomID("!b")])) == ["!b"]
        assert read(database, lambda tx: Samples(tx).rooms([])) == []
        assert read(database, lambda tx: Samples(tx).perhaps(True)) == (1, "x")
        assert read(database, lambda tx: Samples(tx).values(b"\0", {"a": 1})) == ("100 %", b"\0", {"a": 1})
        assert read(database, lambda tx: Samples(tx).sum(None, 2)) is None
        assert read(database, lambda tx: Samples(tx).sum(2**40, 2)) == 2**40 + 2
    assert prepared(database) == before + 5


def test_one_without_a_row_is_an_error(database: Database) -> None:
    with pytest.raises(NoRow):
        read(database, lambda tx: Samples(tx).surely(False))


def test_bytes_and_json_cross_unchanged(database: Database) -> None:
    data = bytes(range(256))
    document: dict[str, object] = {"a": [1, None, "\\ ' % \U0001f600"]}
    assert read(database, lambda tx: Samples(tx).values(data, document)) == ("100 %", data, document)


def test_a_missing_argument_is_an_error(database: Database) -> None:
    with pytest.raises(TypeError, match=r"surely takes found, got $"):
        read(database, lambda tx: Samples(tx).surely())  # type: ignore[call-arg]  # on purpose


def test_a_parameter_that_the_sql_does_not_use_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"the SQL uses \['a'\], the signature has \['a', 'b'\]"):

        class Wrong(Queries):
            @query("select %(a)s", one(int))
            def wrong(self, a: int, b: int) -> int: ...


def test_an_annotation_that_differs_from_the_shape_is_refused() -> None:
    with pytest.raises(DeclarationError, match="returns"):

        class Wrong(Queries):
            @query("select 1", many(int))  # type: ignore[arg-type]  # on purpose
            def wrong(self) -> int: ...


def test_a_nameless_parameter_is_refused() -> None:
    with pytest.raises(DeclarationError, match="not %s"):

        class Wrong(Queries):
            @query("delete from x where a = %s", affected)
            def wrong(self) -> int: ...


def test_a_parameter_without_annotation_is_refused() -> None:
    with pytest.raises(DeclarationError, match="no annotation"):

        class Wrong(Queries):
            @query("select %(a)s", nothing)
            def wrong(self, a) -> None: ...  # type: ignore[no-untyped-def]  # on purpose


def test_statements_check_their_columns() -> None:
    with pytest.raises(TypeError, match="do not fit"):
        bulk("t", ("a",), "on conflict (b) do update set a = 1")
    with pytest.raises(TypeError, match="the SQL uses"):
        each("update t set a = %(a)s", ("a", "b"))
    declared = bulk("t", ("a", "b"))
    with pytest.raises(TypeError):
        declared.row(1)
    with pytest.raises(KeyError):
        declared.entry(a=1, c=2)
    assert declared.entry(b=2, a=1) == declared.row(1, 2)


@pytest.fixture(scope="module")
def schema(session_database: TestDatabase) -> TestDatabase:
    return session_database


@pytest.mark.parametrize("name", QUERIES)
def test_every_declared_query_fits_the_schema(schema: TestDatabase, name: str) -> None:
    declared = DECLARED[name]
    prepared = declared.prepared()
    assert prepared is not None
    prepared.make()
    schema.rows(prepared.prepare.replace("%", "%%"))
    schema.rows(f"deallocate {prepared.name}")


@pytest.mark.parametrize("name", [name for name in QUERIES if DECLARED[name].columns()])
def test_the_columns_of_every_query_are_the_fields_of_its_rows(schema: TestDatabase, name: str) -> None:
    declared = DECLARED[name]
    nulls = dict.fromkeys(declared.parameters)
    opened = connect(schema.dsn)
    try:
        with opened.cursor() as cursor:
            cursor.execute("begin")
            try:
                cursor.execute(declared.sql, nulls)
            except (psycopg2.errors.NotNullViolation, psycopg2.errors.IndeterminateDatatype):
                pytest.skip("cannot be run with nulls")
            columns = [column.name for column in cursor.description or ()]
            fields = declared.columns() or []
            assert len(columns) == len(fields)
            named = [
                (column, field)
                for column, field in zip(columns, fields, strict=True)
                if column in fields and column != field
            ]
            assert named == [], "columns in another order than the fields"
    finally:
        disconnect(opened)


@pytest.mark.parametrize(
    "statement", STATEMENTS, ids=lambda statement: getattr(statement, "table", "") or statement.sql[:40]
)
def test_every_statement_fits_the_schema(schema: TestDatabase, statement: Bulk | Deletion | Each) -> None:
    opened = connect(schema.dsn)
    try:
        with opened.cursor() as cursor:
            values = tuple(0 if column in statement.refers else None for column in statement.columns)
            for sql in statement.render(cursor.mogrify, [Placed(values, 1, 0)]):
                cursor.execute(b"prepare checked as " + sql)
    finally:
        disconnect(opened)
