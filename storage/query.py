"""Declared, typed queries: a method without a body, its SQL and the shape of its answer.

    class Receipts(Queries):
        @query("select event_id from receipts where room_id = any(%(rooms)s)", many(EventID))
        def in_rooms(self, rooms: list[RoomID]) -> list[EventID]: ...

A declaration is checked when its module is imported: the names in the SQL against the signature, the
return annotation against the shape. All declarations are in `DECLARED`, so that a test can
prepare each of them on the migrated schema.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from types import GenericAlias, NoneType, UnionType
from typing import (
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from msgspec import Struct

from storage.bulk import Bulk, Each, Entry, bulk, bulk_delete, each
from storage.transaction import Prepared, Row, Transaction

__all__ = [
    "DECLARED",
    "Bulk",
    "DeclarationError",
    "Declared",
    "Each",
    "Entry",
    "NoRow",
    "Queries",
    "Shape",
    "affected",
    "bulk",
    "bulk_delete",
    "each",
    "many",
    "maybe",
    "nothing",
    "one",
    "query",
]

T = TypeVar("T")
P = ParamSpec("P")
Q = TypeVar("Q", bound="Queries")

_PARAMETER = re.compile(r"%\((\w+)\)s")
_PREPARABLE = frozenset(("select", "insert", "update", "delete", "with", "values"))
_SQL_TYPES = {int: "bigint", bytes: "bytea", bool: "boolean", float: "float8"}
_BARE_PARAMETER = re.compile(r"(?<!%)(?:%%)*%s")


class DeclarationError(TypeError):
    """A query's SQL, signature and shape do not fit together."""


class NoRow(LookupError):
    """A query declared with `one` found nothing."""


class Queries:
    """Base of the table modules' query classes; lives as long as its transaction."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """What a query answers: its annotation, the type of one row (None: no rows), and how to read it."""

    annotation: Any
    row_type: Any
    read: Callable[[Transaction], T]


@dataclass(frozen=True, slots=True)
class Declared:
    """One declared query, for the tests that walk over all of them. `number` is its own."""

    name: str
    number: int
    sql: str
    parameters: dict[str, Any]
    row_type: Any

    def prepared(self) -> Prepared | None:
        """How to run it as a prepared statement; None for what PostgreSQL cannot prepare (SET, LOCK)."""
        if self.sql.split(maxsplit=1)[0].lower() not in _PREPARABLE:
            return None
        return Prepared(f"q{self.number}", self._texts)

    def columns(self) -> list[str] | None:
        """Names the result columns must have, in order; None where only their number or nothing is fixed."""
        if _is_record(self.row_type):
            return list(self.row_type.__match_args__)
        return None

    def _texts(self) -> tuple[str, str]:
        name = f"q{self.number}"
        order = {parameter: f"${number}" for number, parameter in enumerate(self.parameters, 1)}
        types = ", ".join(_sql_type(annotation) for annotation in self.parameters.values())
        arguments = ", ".join(f"%({parameter})s" for parameter in self.parameters)
        numbered = _PARAMETER.sub(lambda found: order[found[1]], self.sql).replace("%%", "%")
        return (
            f"prepare {name} ({types}) as {numbered}" if types else f"prepare {name} as {numbered}",
            f"execute {name} ({arguments})" if arguments else f"execute {name}",
        )


DECLARED: dict[str, Declared] = {}


def many(row_type: type[T]) -> Shape[list[T]]:
    """All rows: a struct or dataclass by column order, `tuple[...]` as it comes, anything else from the only column."""
    if _is_record(row_type):

        def records(tx: Transaction) -> list[T]:
            return [row_type(*row) for row in tx.rows()]

        return Shape(GenericAlias(list, (row_type,)), row_type, records)
    if _is_tuple(row_type):
        return Shape(GenericAlias(list, (row_type,)), row_type, lambda tx: cast(list[T], tx.rows()))

    def column(tx: Transaction) -> list[T]:
        return [value for (value,) in tx.rows()]

    return Shape(GenericAlias(list, (row_type,)), row_type, column)


def maybe(row_type: type[T]) -> Shape[T | None]:
    """The first row or None."""
    build = _builder(row_type)

    def read(tx: Transaction) -> T | None:
        row = tx.row()
        return None if row is None else build(row)

    return Shape(row_type | None, row_type, read)


def one(row_type: type[T]) -> Shape[T]:
    """The first row; raises `NoRow` where there is none."""
    build = _builder(row_type)

    def read(tx: Transaction) -> T:
        row = tx.row()
        if row is None:
            raise NoRow
        return build(row)

    return Shape(row_type, row_type, read)


affected: Shape[int] = Shape(int, None, lambda tx: tx.rowcount)
"""The number of rows changed."""

nothing: Shape[None] = Shape(None, None, lambda tx: None)
"""No answer."""


def query(
    sql: str, shape: Shape[T], *, planned_anew: bool = False
) -> Callable[[Callable[Concatenate[Q, P], T]], Callable[Concatenate[Q, P], T]]:
    """Declare a query on an empty method; raises `DeclarationError` at import when it does not fit.

    ``planned_anew``: never prepare it, as the best plan depends on the values.
    """

    def declare(method: Callable[Concatenate[Q, P], T]) -> Callable[Concatenate[Q, P], T]:
        name = f"{method.__module__}.{method.__qualname__}"
        signature = inspect.signature(method)
        names = tuple(signature.parameters)[1:]
        hints = get_type_hints(method)
        _check(name, sql, hints, names, shape)
        defaults = {
            key: parameter.default
            for key, parameter in signature.parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        read = shape.read
        declared = Declared(name, len(DECLARED), sql, {key: hints[key] for key in names}, shape.row_type)
        prepared = None if planned_anew else declared.prepared()
        DECLARED[name] = declared

        def run(self: Q, /, *arguments: P.args, **named: P.kwargs) -> T:
            given = {**defaults, **dict(zip(names, arguments, strict=False)), **named}
            if len(given) != len(names):
                raise TypeError(f"{name} takes {', '.join(names)}, got {', '.join(given)}")
            tx = self._tx
            tx.execute(sql, given, prepared)
            return read(tx)

        # As `functools.wraps` does, but without keeping the empty method.
        run.__name__, run.__qualname__, run.__module__ = (
            method.__name__,
            method.__qualname__,
            method.__module__,
        )
        run.__doc__ = method.__doc__
        return run

    return declare


def _check(name: str, sql: str, hints: dict[str, Any], names: tuple[str, ...], shape: Shape[Any]) -> None:
    used = set(_PARAMETER.findall(sql))
    if used != set(names):
        raise DeclarationError(f"{name}: the SQL uses {sorted(used)}, the signature has {sorted(names)}")
    if _BARE_PARAMETER.search(sql):
        raise DeclarationError(f"{name}: parameters are %(name)s, not %s")
    for key in names:
        if key not in hints:
            raise DeclarationError(f"{name}: parameter {key} has no annotation")
    expected = type(None) if shape.annotation is None else shape.annotation
    if hints.get("return", inspect.Parameter.empty) != expected:
        raise DeclarationError(f"{name}: returns {hints.get('return')}, the query gives {expected}")


def _builder(row_type: type[T]) -> Callable[[Row], T]:
    if _is_record(row_type):
        return lambda row: row_type(*row)
    if _is_tuple(row_type):
        return lambda row: cast(T, row)
    return lambda row: cast(T, row[0])


def _is_record(row_type: Any) -> bool:
    """Structs are made in an eighth of the time that dataclasses take, which are as good otherwise."""
    return isinstance(row_type, type) and (issubclass(row_type, Struct) or is_dataclass(row_type))


def _is_tuple(row_type: Any) -> bool:
    return get_origin(row_type) is tuple or (isinstance(row_type, type) and issubclass(row_type, tuple))


def _sql_type(annotation: Any) -> str:
    """The type of a parameter as psycopg2 sends its value; a string is a literal, whose type PostgreSQL finds."""
    if get_origin(annotation) in (list, set, frozenset, Sequence):
        element = _sql_type(get_args(annotation)[0])
        return "text[]" if element == "unknown" else f"{element}[]"
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = [each for each in get_args(annotation) if each is not NoneType][:1]
    return _SQL_TYPES.get(getattr(annotation, "__supertype__", annotation), "unknown")
