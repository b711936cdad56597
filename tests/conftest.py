"""Fixtures that every folder of tests may use."""

import gc
import os
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Final

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

# What is logged is shown with a test that fails. The usual way to show it, with colours and frames of tracebacks, takes
# longer than most of what is tested.
_LOGGING: Final[Any] = {
    "processors": [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
    ],
    "logger_factory": structlog.PrintLoggerFactory(),
}
structlog.configure(**_LOGGING)


_OF_PROCESSES: Final = ("interop", "system")
_LONG_FIRST: Final = (*_OF_PROCESSES, "simulation", "federation", "http", "config", "client_api")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: tests of processes wait half of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files that take long first, so that all workers end together, and by turns those that wait for processes and
    those that compute.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    by_folder = sorted(files, key=_place)
    waiting = [path for path in by_folder if _folder(path) in _OF_PROCESSES]
    computing = [path for path in by_folder if _folder(path) not in _OF_PROCESSES]
    by_turns = chain.from_iterable(zip_longest(waiting, computing))
    items[:] = [item for path in by_turns if path for item in files[path]]


def _folder(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).parts[0]


def _place(path: Path) -> int:
    folder = _folder(path)
    return _LONG_FIRST.index(folder) if folder in _LONG_FIRST else len(_LONG_FIRST)


def pytest_collection_finish() -> None:
    """Thousands of tests are there from now on: spare the garbage collector to look at each of them every time."""
    gc.collect()
    gc.freeze()


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
    structlog.configure(**_LOGGING)
