"""Whether a PostgreSQL server that the operator named is fit for us; each finding says what to do about it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.query import Queries, one, query
from storage.transaction import Transaction
from storage.unusable import Unusable

OLDEST_VERSION = 15
_CLOCK_TOLERANCE = timedelta(seconds=30)
_STALE_COLLATION = "the operating system's collations changed since the database was made"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the check looks at."""

    version_number: int
    version: str
    encoding: str
    collation: str
    collation_outdated: bool
    now: datetime
    fsync: str
    synchronous_commit: str
    read_only: bool
    may_create: bool


class ServerQueries(Queries):
    """Asks the server about itself."""

    @query(
        """select current_setting('server_version_num')::int, current_setting('server_version'),
            pg_encoding_to_char(encoding), datcollate,
            datcollversion is distinct from pg_database_collation_actual_version(oid),
            clock_timestamp(), current_setting('fsync'), current_setting('synchronous_commit'), pg_is_in_recovery(),
            has_schema_privilege(current_schema(), 'create')
        from pg_database where datname = current_database()""",
        one(ServerFacts),
    )
    def facts(self) -> ServerFacts: ...


class UnfitServer(Unusable):
    """The server cannot be used; the text lists why."""


def check_server(tx: Transaction, now: datetime) -> list[str]:
    """Raises UnfitServer where the server cannot serve us; gives warnings about what is merely unwise.

    `now` is our clock (aware). Only what every supported version knows is asked before the version is known.
    """
    tx.execute("select current_setting('server_version_num')::int, current_setting('server_version')")
    ((number, version),) = tx.rows()
    if number < OLDEST_VERSION * 10000:
        raise UnfitServer(f"PostgreSQL {version} is too old: Meridian needs {OLDEST_VERSION} or later.")
    facts = ServerQueries(tx).facts()
    if errors := unfit(facts):
        raise UnfitServer("\n".join(errors))
    return unwise(facts, now)


def unfit(facts: ServerFacts) -> list[str]:
    """What makes the server unusable."""
    found = []
    if facts.encoding != "UTF8":
        found.append(
            f"The database is encoded in {facts.encoding}: make a new one with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0."
        )
    if facts.read_only:
        found.append("The server is a standby that cannot write: name the primary in the configuration.")
    if not facts.may_create:
        found.append(
            "The database user may not create tables: make it the owner of the database, or run "
            "GRANT CREATE ON SCHEMA public TO it."
        )
    return found


def unwise(facts: ServerFacts, now: datetime) -> list[str]:
    """What the operator should know."""
    found = []
    if facts.collation_outdated:
        found.append(
            f'{_STALE_COLLATION}: reindex text columns that are not COLLATE "C" (ours are) and run '
            "ALTER DATABASE ... REFRESH COLLATION VERSION."
        )
    if facts.fsync != "on":
        found.append(
            "The server runs with fsync off, so a crash of its machine destroys the database: set fsync = on."
        )
    if facts.synchronous_commit == "off":
        found.append("The server has synchronous_commit = off; Meridian switches it on for its own sessions.")
    if not clocks_agree(facts, now):
        found.append(
            f"The server's clock and ours differ by {abs(facts.now - now).total_seconds():.0f} s: "
            "synchronise both (NTP), or timestamps and leases will be wrong."
        )
    return found


def clocks_agree(facts: ServerFacts, now: datetime) -> bool:
    """Whether our clock (aware) and the server's are close enough for timestamps and leases."""
    return abs(facts.now - now) <= _CLOCK_TOLERANCE
