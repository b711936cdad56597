"""Before anything else uses a database: can we reach it, is its server fit for us, is its schema up to date."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg2

from storage.connections import Connection, connect, disconnect
from storage.migrate import Migration, migrate, pending
from storage.server_check import ServerQueries, check_server, clocks_agree, unwise
from storage.transaction import Transaction
from storage.unusable import Unusable


@dataclass(frozen=True, slots=True)
class Examined:
    """What an operator may want to know of a database that can be used.

    `warnings` are about all but the clocks, `ahead_s` says by how many seconds the server's is before ours, `pending`
    which migrations are to be applied.
    """

    version: str
    encoding: str
    collation: str
    warnings: list[str]
    ahead_s: float
    clocks_agree: bool
    pending: list[Migration]


def prepare_database(
    dsn: str,
    now: datetime,
    begun: Callable[[Migration, int, int], object] = lambda step, number, count: None,
) -> list[str]:
    """Check the server and migrate the schema; gives warnings for the operator. Blocks.

    `now` is our clock, aware; `begun` is as of `migrate`. Raises Unusable with what the operator should do.
    """
    with _connected(dsn) as opened, opened.cursor() as cursor:
        warnings = check_server(Transaction(cursor, opening=""), now)
    migrate(dsn, begun=begun)
    return warnings


def examine_database(dsn: str, now: datetime) -> Examined:
    """Look at the server and the schema, and change nothing. Blocks. Raises Unusable as `prepare_database` does."""
    with _connected(dsn) as opened:
        with opened.cursor() as cursor:
            tx = Transaction(cursor, opening="")
            check_server(tx, now)
            facts = ServerQueries(tx).facts()
        return Examined(
            version=facts.version,
            encoding=facts.encoding,
            collation=facts.collation,
            warnings=unwise(facts, facts.now),
            ahead_s=(facts.now - now).total_seconds(),
            clocks_agree=clocks_agree(facts, now),
            pending=pending(opened),
        )


@contextmanager
def _connected(dsn: str) -> Iterator[Connection]:
    try:
        opened = connect(dsn, "meridian check")
    except psycopg2.OperationalError as error:
        raise Unusable(f"The database cannot be reached: {str(error).strip()}") from error
    try:
        yield opened
    finally:
        disconnect(opened)
