"""The database: whether it can be used as it is, and whether its clock is ours."""

from collections.abc import Iterator
from datetime import datetime

from config.config import Config
from homeserver.app.doctor.findings import Finding, fail, ok, warn
from storage.embedded import EmbeddedPostgres
from storage.preparation import Examined, examine_database
from storage.unusable import Unusable


def check_database(config: Config, now: datetime) -> Iterator[Finding]:
    """Look at the database that the configuration names, or at the embedded one, which is started if nobody runs it.

    `now` is our clock, aware. Nothing is changed.
    """
    if config.database.dsn:
        yield from _examine(config.database.dsn, "PostgreSQL", now)
        return
    embedded = EmbeddedPostgres(config.data_dir)
    if not embedded.made:
        yield ok("database", "an embedded PostgreSQL, which the first start makes")
        return
    try:
        yield from _examine(embedded.start(), "an embedded PostgreSQL", now)
    except Unusable as error:
        yield fail("database", str(error), f"see {config.data_dir / 'postgresql' / 'postgresql.log'}")
    finally:
        embedded.stop()


def _examine(dsn: str, kind: str, now: datetime) -> Iterator[Finding]:
    try:
        examined = examine_database(dsn, now)
    except Unusable as error:
        yield fail("database", str(error))
        return
    yield ok("database", f"{kind} {examined.version}, {examined.encoding}, collation {examined.collation}")
    for warning in examined.warnings:
        yield warn("database", warning)
    yield _schema(examined)
    yield _clock(examined)


def _schema(examined: Examined) -> Finding:
    if not examined.pending:
        return ok("schema", "up to date")
    numbers = ", ".join(f"{step.number:04}" for step in examined.pending)
    return warn(
        "schema",
        f"{len(examined.pending)} migrations are to be applied ({numbers})",
        "`homeserver migrate` does that, and so does the next start",
    )


def _clock(examined: Examined) -> Finding:
    text = f"{abs(examined.ahead_s):.1f} s between the database and this machine"
    if examined.clocks_agree:
        return ok("clock", text)
    return fail("clock", text, "synchronise both by NTP, or timestamps and leases will be wrong")
