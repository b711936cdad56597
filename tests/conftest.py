"""Fixtures that every folder of tests may use."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

pytest_plugins = ["tests.harness.postgres"]

# A machine under load is slow at times: laws are about values, not about time.
settings.register_profile("meridian", deadline=None)
settings.load_profile("meridian")


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Commands set up logging for their process; the next test begins with what was before."""
    yield
    structlog.reset_defaults()
