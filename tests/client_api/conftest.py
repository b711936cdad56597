"""The sites that these tests talk to."""

from collections.abc import Callable

import pytest

from storage.database import Database
from tests.client_api.accounts_site import AccountsSite
from tests.harness.postgres import database, postgres, session_database, test_database

__all__ = ["database", "postgres", "session_database", "test_database"]

NewSite = Callable[[str], AccountsSite]
"""Makes a site with some settings changed, given as YAML."""


@pytest.fixture
def new_site(database: Database) -> NewSite:
    """Sites over the same database, empty in the beginning."""
    return lambda settings: AccountsSite(database, settings)


@pytest.fixture
def site(new_site: NewSite) -> AccountsSite:
    """A site with open registration."""
    return new_site("")
