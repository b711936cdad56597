"""Connections to PostgreSQL: how they are opened, and how values cross over.

All connections are in autocommit mode; `storage.transaction` says when a transaction begins. `bytea` arrives as
`bytes`, `jsonb` through orjson; dicts go out as JSON, sets as arrays.
"""

from binascii import unhexlify
from typing import Any

import orjson
import psycopg2
from psycopg2.extensions import (
    QuotedString,
    adapt,
    connection,
    cursor,
    new_type,
    register_adapter,
    register_type,
)
from psycopg2.extras import register_default_json, register_default_jsonb

from storage import metrics

RETRIABLE = frozenset({"40001", "40P01"})
"""SQLSTATEs after which the same transaction may well succeed: serialization failure, deadlock."""

_SETTINGS = """select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off';
set client_encoding = 'UTF8'; set timezone = 'UTC'; set default_transaction_isolation = 'read committed';
set standard_conforming_strings = on; set jit = off; set bytea_output = 'hex';
set idle_in_transaction_session_timeout = '60s'"""


class Connection(connection):
    """A connection with room for whoever waits for its socket (see `storage.green`), and its prepared statements."""

    socket: Any = None
    uses: dict[str, int]


def connect(dsn: str, application: str = "meridian", *, read_only: bool = False) -> Connection:
    """Open a connection; raises psycopg2.OperationalError where that fails."""
    opened = psycopg2.connect(
        dsn,
        connection_factory=Connection,
        application_name=application,
        connect_timeout=10,
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
        tcp_user_timeout=60_000,
    )
    opened.autocommit = True
    opened.uses = {}
    with opened.cursor() as cursor:
        cursor.execute(_SETTINGS + ("; set default_transaction_read_only = on" if read_only else ""))
    metrics.CONNECTIONS.inc()
    return opened


def disconnect(opened: Connection) -> None:
    """Close a connection, broken or not."""
    metrics.CONNECTIONS.dec()
    if opened.socket is not None:
        opened.socket.detach()
    opened.close()


def is_broken(opened: Connection) -> bool:
    """Whether the connection cannot be used any more."""
    return bool(opened.closed)


def is_retriable(error: BaseException) -> bool:
    """Whether the transaction that got `error` may be run again as it is."""
    return isinstance(error, psycopg2.Error) and error.pgcode in RETRIABLE


def _bytes(value: Any, cursor: cursor) -> bytes | None:
    return None if value is None else unhexlify(value[2:])


def _quoted_json(value: object) -> QuotedString:
    quoted = QuotedString(orjson.dumps(value).decode())
    quoted.encoding = "utf-8"
    return quoted


class _Array:
    """A set as a PostgreSQL array."""

    def __init__(self, values: set[Any] | frozenset[Any]) -> None:
        self._list = adapt(list(values))

    def prepare(self, opened: connection) -> None:
        self._list.prepare(opened)

    def getquoted(self) -> bytes:
        quoted: bytes = self._list.getquoted()
        return quoted


register_type(new_type((17,), "BYTES", _bytes))
register_default_json(globally=True, loads=orjson.loads)
register_default_jsonb(globally=True, loads=orjson.loads)
register_adapter(dict, _quoted_json)
register_adapter(set, _Array)
register_adapter(frozenset, _Array)
