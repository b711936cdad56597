"""What is said about a PostgreSQL server that is not fit for us."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.database import Database
from storage.server_check import ServerFacts, ServerQueries, UnfitServer, check_server, unfit, unwise

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = ServerFacts(160004, "16.4", "UTF8", "C", False, NOW, "on", "on", False, True)


class OldServer:
    """A transaction on a server that is too old to be asked anything else."""

    def execute(self, sql: str) -> None:
        assert "server_version_num" in sql

    def rows(self) -> list[tuple[int, str]]:
        return [(140012, "14.12")]


def test_a_good_server_gets_no_remarks() -> None:
    assert unfit(GOOD) == unwise(GOOD, NOW) == []


def test_the_tests_own_server_is_fit(database: Database) -> None:
    facts: list[Any] = []
    database.read(lambda tx: ServerQueries(tx).facts()).addCallback(facts.append)
    assert unfit(facts[0]) == []
    warnings: list[Any] = []
    database.transact(lambda tx: check_server(tx, facts[0].now)).addCallback(warnings.extend)
    assert [warning for warning in warnings if "fsync" not in warning] == []


def test_an_old_server_is_refused_before_anything_else_is_asked() -> None:
    old: Any = OldServer()
    with pytest.raises(UnfitServer, match=r"PostgreSQL 14\.12 is too old: Meridian needs 15"):
        check_server(old, NOW)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (replace(GOOD, encoding="SQL_ASCII"), "ENCODING 'UTF8'"),
        (replace(GOOD, read_only=True), "standby"),
        (replace(GOOD, may_create=False), "GRANT CREATE"),
    ],
)
def test_what_makes_a_server_unusable_is_said_with_the_remedy(facts: ServerFacts, says: str) -> None:
    (text,) = unfit(facts)
    assert says in text


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (replace(GOOD, collation_outdated=True), "REFRESH COLLATION VERSION"),
        (replace(GOOD, synchronous_commit="off"), "synchronous_commit"),
        (replace(GOOD, fsync="off"), "fsync = on"),
        (replace(GOOD, now=NOW + timedelta(seconds=90)), "differ by 90 s"),
    ],
)
def test_what_is_unwise_is_said_with_the_remedy(facts: ServerFacts, says: str) -> None:
    (text,) = unwise(facts, NOW)
    assert says in text
