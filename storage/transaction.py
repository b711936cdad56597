"""One transaction on one PostgreSQL connection, as the code on a database thread sees it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from psycopg2.extensions import cursor as Cursor

Row: TypeAlias = tuple[Any, ...]
Parameters: TypeAlias = Mapping[str, object] | Sequence[object] | None


PREPARE_AFTER = 3
"""So many times a session runs a declared query as text; rare ones then take no memory in the server."""


class Prepared:
    """A query as a prepared statement of sessions. Its texts, to prepare and to execute it, are made for the session
    that prepares it first: most queries stay rare.
    """

    __slots__ = ("_texts", "execute", "name", "prepare")

    def __init__(self, name: str, texts: Callable[[], tuple[str, str]]) -> None:
        self.name = name
        self.prepare = ""
        self.execute = ""
        self._texts = texts

    def make(self) -> None:
        """Make the texts, unless they are there."""
        if not self.prepare:
            self.prepare, self.execute = self._texts()


class Transaction:
    """Runs statements one after the other; knows how many were run.

    The connection is in autocommit mode: `opening` ("begin;") goes to the server together with
    the first statement and spares its round trip. Nothing is sent for a transaction that runs no statement.
    """

    __slots__ = ("_cursor", "_opening", "_outer", "_uses", "queries")

    def __init__(self, cursor: Cursor, opening: str = "begin;") -> None:
        self._cursor = cursor
        self._opening = opening
        self._uses: dict[str, int] = getattr(cursor.connection, "uses", {})
        self._outer: Transaction | None = None
        self.queries = 0

    def execute(self, sql: str, parameters: Parameters = None, prepared: Prepared | None = None) -> None:
        """Run one statement; `parameters` fill `%(name)s` or `%s`.

        With `prepared` the session prepares it once it turns out to be used often, which spares the server its parsing
        and mostly its planning. Raises psycopg2.Error as the server reports it.
        """
        if prepared is not None and self._is_prepared(prepared):
            sql = prepared.execute
        if self._opening:
            sql = self._open() + sql
        self.queries += 1
        self._cursor.execute(sql, parameters)

    def execute_raw(self, sql: bytes) -> None:
        """Run statements whose values are already in them, in one round trip."""
        if self._opening:
            sql = self._open().encode() + sql
        self.queries += 1
        self._cursor.execute(sql)

    def savepoint(self) -> "Transaction":
        """The same transaction behind a savepoint named `member`, which is set by the first statement."""
        inner = Transaction(self._cursor, self._opening + "savepoint member;")
        inner._outer = self
        return inner

    def rows(self) -> list[Row]:
        """All rows of the last statement."""
        return self._cursor.fetchall()

    def row(self) -> Row | None:
        """The first row of the last statement, or None."""
        return self._cursor.fetchone()

    @property
    def rowcount(self) -> int:
        """Number of rows the last statement returned or changed."""
        return self._cursor.rowcount

    @property
    def begun(self) -> bool:
        """Whether anything was sent to the server."""
        return self.queries > 0

    def mogrify(self, sql: str, parameters: Parameters) -> bytes:
        """The statement with its values in it, as it would be sent."""
        return self._cursor.mogrify(sql, parameters)

    def _is_prepared(self, prepared: Prepared) -> bool:
        uses = self._uses.get(prepared.name, 0)
        if uses < PREPARE_AFTER:
            self._uses[prepared.name] = uses + 1
            return False
        if uses == PREPARE_AFTER:
            prepared.make()
            self._cursor.execute(prepared.prepare)
            self._uses[prepared.name] = uses + 1
        return True

    def _open(self) -> str:
        opening, self._opening = self._opening, ""
        if self._outer is not None:
            self._outer._opening = ""
        return opening
