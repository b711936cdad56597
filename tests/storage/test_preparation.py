"""Preparing a database for use."""

from datetime import UTC, datetime

import pytest

from storage.preparation import prepare_database
from storage.unusable import Unusable
from tests.harness.postgres import TestDatabase, TestServer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_an_empty_database_gets_its_schema(postgres: TestServer) -> None:
    empty = TestDatabase(postgres.create_empty_database())
    warnings = prepare_database(empty.dsn, NOW)
    assert empty.rows("select pos from stream") == [(0,)]
    assert any("clock" in warning for warning in warnings)


def test_a_server_that_is_away_is_told_in_the_operators_words() -> None:
    with pytest.raises(Unusable, match="The database cannot be reached: .*nonexistent"):
        prepare_database("host=/nonexistent", NOW)
