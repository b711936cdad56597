"""Fixtures that every folder of tests may use."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import Phase, settings

from tests.harness import conformance

pytest_plugins = ["tests.harness.postgres"]

# A machine under load is slow at times: laws are about values, not about time. To explain a failure Hypothesis traces
# every line, which crashes the interpreter where database work runs in greenlets.
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
# A run is the same each time, so that nobody's change fails by what chance finds; `make explore` leaves it to chance.
settings.register_profile("meridian", deadline=None, phases=_PHASES, derandomize=True)
settings.register_profile("explore", settings.get_profile("meridian"), derandomize=False, print_blob=True)
settings.load_profile("meridian")


@pytest.fixture(autouse=True)
def _servers_speak_as_specified() -> Iterator[None]:
    """What passed between servers in a test is what the specification has."""
    yield
    assert conformance.noticed() == []


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Commands set up logging for their process; the next test begins with what was before."""
    yield
    structlog.reset_defaults()
