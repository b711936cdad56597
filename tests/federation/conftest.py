"""The databases of the servers in these tests."""

from tests.federation.homeservers import internet, three_databases
from tests.harness.postgres import database, postgres, session_database, test_database

__all__ = ["database", "internet", "postgres", "session_database", "test_database", "three_databases"]
