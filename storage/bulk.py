"""Statements that write many rows at once: what the journal's entries are made of.

A `Bulk` is one multi-row INSERT, a `Deletion` one multi-row DELETE, an `Each` one statement a row (an UPDATE,
mostly) that still shares the round trip of its group. An entry may have columns that only the journal can fill:

- *positions*: the stream position that the entry itself takes;
- *refers*: the position that another entry of the same write takes. The caller gives the index of that entry
  among the write's positioned entries.

While a group is written, the setting `meridian.pos` holds the position before its first one (see `storage.journal`).
"""

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from psycopg2.extensions import AsIs

from storage.transaction import Parameters, Transaction

POSITION_BEFORE = "current_setting('meridian.pos')::bigint"
_CONFLICT_TARGET = re.compile(r"on\s+conflict\s*\(([\w\s,]+)\)\s*do\s+update", re.IGNORECASE)
_serials = itertools.count()

Mogrify = Callable[[str, Parameters], bytes]


class Placed(NamedTuple):
    """An entry's values with its place in the group: `own` is its position's distance from the one before
    the group (0: takes none), `base` the distance of the position before its write's first."""

    values: tuple[Any, ...]
    own: int
    base: int


class Statement(Protocol):
    """What an entry belongs to."""

    @property
    def rank(self) -> int:
        """Lower ones run earlier."""

    @property
    def serial(self) -> int:
        """Order of declaration, which decides among equal ranks."""

    @property
    def positioned(self) -> bool:
        """Whether each of its entries takes a position."""

    @property
    def late(self) -> bool:
        """Whether it can run only after the group took its positions."""

    def render(self, mogrify: Mogrify, rows: Sequence[Placed]) -> list[bytes]:
        """The SQL for these rows, values included."""


class Entry(NamedTuple):
    """One row to write."""

    statement: Statement
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Columns(ABC):
    """What the three kinds of statement have in common."""

    columns: tuple[str, ...]
    positions: tuple[str, ...]
    refers: tuple[str, ...]
    rank: int
    serial: int = field(default_factory=lambda: next(_serials))

    @property
    def positioned(self) -> bool:
        """Whether each of its entries takes a position."""
        return bool(self.positions)

    @property
    def late(self) -> bool:
        """Whether it can run only after the group took its positions."""
        return bool(self.positions or self.refers)

    def entry(self, **row: object) -> Entry:
        """An entry by column names; raises KeyError or TypeError unless exactly the declared columns are given."""
        if len(row) != len(self.columns):
            raise TypeError(f"columns are {self.columns}, not {tuple(row)}")
        return Entry(self, tuple([row[column] for column in self.columns]))

    def row(self, *values: object) -> Entry:
        """An entry by the columns' order: the fast way."""
        if len(values) != len(self.columns):
            raise TypeError(f"columns are {self.columns}")
        return Entry(self, values)

    @abstractmethod
    def render(self, mogrify: Mogrify, rows: Sequence[Placed]) -> list[bytes]:
        """The SQL for these rows, values included."""


@dataclass(frozen=True, slots=True, eq=False)
class Bulk(_Columns):
    """A multi-row INSERT."""

    table: str = ""
    on_conflict: str = ""
    key: tuple[int, ...] = ()
    latest: bool = False

    def render(self, mogrify: Mogrify, rows: Sequence[Placed]) -> list[bytes]:
        """One INSERT, or several where rows would meet the same key twice in one statement."""
        return [self._insert(mogrify, wave) for wave in self._waves(rows)]

    def execute(self, tx: Transaction, rows: Iterable[tuple[Any, ...]], page_size: int = 1000) -> None:
        """Insert rows that need no position outside the journal, `page_size` a statement."""
        if self.late:
            raise TypeError(f"{self.table} takes positions: write it through the journal")
        placed = [Placed(row, 0, 0) for row in rows]
        for start in range(0, len(placed), page_size):
            tx.execute_raw(b";".join(self.render(tx.mogrify, placed[start : start + page_size])))

    def _insert(self, mogrify: Mogrify, rows: Sequence[Placed]) -> bytes:
        head = f"insert into {self.table} ({', '.join(self.positions + self.columns)}) values "
        if not self.late:
            row = "(" + ",".join(["%s"] * len(self.columns)) + ")"
            template = ",".join([row] * len(rows))
            flat = [value for placed in rows for value in placed.values]
        else:
            template, flat = self._late(rows)
        return mogrify(head + template + " " + self.on_conflict, flat)

    def _late(self, rows: Sequence[Placed]) -> tuple[str, list[Any]]:
        refers = [column in self.refers for column in self.columns]
        plain = "," + ",".join(["%s"] * len(self.columns)) if self.columns else ""
        templates: list[str] = []
        flat: list[Any] = []
        for values, own, base in rows:
            if self.refers:
                plain = "".join(
                    [
                        f",{_position(base + 1 + v)}" if r else ",%s"
                        for r, v in zip(refers, values, strict=True)
                    ]
                )
                values = tuple([v for r, v in zip(refers, values, strict=True) if not r])
            mine = ",".join([_position(own)] * len(self.positions))
            templates.append(f"({(mine + plain).lstrip(',')})")
            flat.extend(values)
        return ",".join(templates), flat

    def _waves(self, rows: Sequence[Placed]) -> list[Sequence[Placed]]:
        if not self.key or len(rows) < 2:
            return [rows]
        key = self.key
        if self.latest:
            last = {tuple([placed.values[at] for at in key]): placed for placed in rows}
            return [list(last.values())]
        waves: list[Sequence[Placed]] = []
        wave: list[Placed] = []
        seen: set[tuple[Any, ...]] = set()
        for placed in rows:
            mine = tuple([placed.values[at] for at in key])
            if mine in seen:
                waves.append(wave)
                wave, seen = [], set()
            seen.add(mine)
            wave.append(placed)
        return [*waves, wave]


@dataclass(frozen=True, slots=True, eq=False)
class Deletion(_Columns):
    """A multi-row DELETE by key."""

    table: str = ""

    def render(self, mogrify: Mogrify, rows: Sequence[Placed]) -> list[bytes]:
        """One DELETE for all rows."""
        row = "(" + ",".join(["%s"] * len(self.columns)) + ")"
        head = f"delete from {self.table} where ({', '.join(self.columns)}) in ("
        flat = [value for placed in rows for value in placed.values]
        return [mogrify(head + ",".join([row] * len(rows)) + ")", flat)]


@dataclass(frozen=True, slots=True, eq=False)
class Each(_Columns):
    """One statement a row, with `%(column)s` for its values."""

    sql: str = ""

    def render(self, mogrify: Mogrify, rows: Sequence[Placed]) -> list[bytes]:
        """As many statements as rows."""
        statements = []
        for values, own, base in rows:
            named: dict[str, Any] = dict(zip(self.columns, values, strict=True))
            for column in self.refers:
                named[column] = AsIs(_position(base + 1 + int(named[column])))
            for column in self.positions:
                named[column] = AsIs(_position(own))
            statements.append(mogrify(self.sql, named))
        return statements


def bulk(
    table: str,
    columns: Sequence[str],
    on_conflict: str = "",
    *,
    position: str | tuple[str, ...] = (),
    refers: tuple[str, ...] = (),
    key: tuple[str, ...] = (),
    latest: bool = False,
    rank: int = 0,
) -> Bulk:
    """Declare a multi-row INSERT.

    `columns` are those the caller fills; `position` names the further ones that get the entry's own position;
    `refers` are those of `columns` in which the caller puts the index of a positioned entry of the same write.
    `key`: columns that ON CONFLICT DO UPDATE looks at, found by itself where they are named there; a second row
    with the same key goes into a second statement, or with `latest` replaces the first. Statements of lower `rank`
    run earlier (foreign keys).
    """
    found = _CONFLICT_TARGET.search(on_conflict)
    names = key or (tuple(name.strip() for name in found[1].split(",")) if found else ())
    positions = _names(position)
    if set(names) - set(columns) or set(refers) - set(columns) or set(positions) & set(columns):
        raise TypeError(
            f"{table}: key {names}, refers {refers} or position {positions} do not fit {tuple(columns)}"
        )
    return Bulk(
        columns=tuple(columns),
        positions=positions,
        refers=refers,
        rank=rank,
        table=table,
        on_conflict=on_conflict,
        key=tuple(list(columns).index(name) for name in names),
        latest=latest,
    )


def bulk_delete(table: str, columns: Sequence[str], *, rank: int = 0) -> Deletion:
    """Declare a multi-row DELETE of the rows in which `columns` have the entries' values."""
    return Deletion(columns=tuple(columns), positions=(), refers=(), rank=rank, table=table)


def each(
    sql: str,
    columns: Sequence[str],
    *,
    position: str | tuple[str, ...] = (),
    refers: tuple[str, ...] = (),
    rank: int = 0,
) -> Each:
    """Declare a statement that runs once an entry, `%(column)s` for its values; else as `bulk`."""
    declared = Each(columns=tuple(columns), positions=_names(position), refers=refers, rank=rank, sql=sql)
    used = set(re.findall(r"%\((\w+)\)s", sql))
    if used != set(columns) | set(declared.positions) or set(refers) - set(columns):
        raise TypeError(
            f"the SQL uses {sorted(used)}, declared are {sorted(set(columns) | set(declared.positions))}"
        )
    return declared


def _position(distance: int) -> str:
    return f"{POSITION_BEFORE}+{distance}"


def _names(position: str | tuple[str, ...]) -> tuple[str, ...]:
    return (position,) if isinstance(position, str) else position
