"""Before anything else uses a database: can we reach it, is its server fit for us, is its schema up to date."""

from datetime import datetime

import psycopg2

from storage.connections import connect, disconnect
from storage.migrate import migrate
from storage.server_check import check_server
from storage.transaction import Transaction
from storage.unusable import Unusable


def prepare_database(dsn: str, now: datetime) -> list[str]:
    """Check the server and migrate the schema; gives warnings for the operator. Blocks.

    `now` is our clock, aware. Raises Unusable with what the operator should do.
    """
    try:
        opened = connect(dsn, "meridian check")
    except psycopg2.OperationalError as error:
        raise Unusable(f"The database cannot be reached: {str(error).strip()}") from error
    try:
        with opened.cursor() as cursor:
            warnings = check_server(Transaction(cursor, opening=""), now)
    finally:
        disconnect(opened)
    migrate(dsn)
    return warnings
