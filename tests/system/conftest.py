"""Folders, databases and servers for system tests: everything is real, and ends with its test."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.harness.certificates import Authority
from tests.harness.postgres import TestServer
from tests.harness.process import HomeserverProcess

MakeServer = Callable[..., HomeserverProcess]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts processes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new folder that PostgreSQL's user can enter, with a short path: unix sockets are made in it."""
    made = Path(mkdtemp(prefix="meridian-system-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Whom all servers of the session trust."""
    return Authority()


@pytest.fixture
def make_server(folder: Path, postgres: TestServer) -> Iterator[MakeServer]:
    """Makes servers (not started) with databases of the session's PostgreSQL, or with their own."""
    made: list[HomeserverProcess] = []

    def make(name: str = "server", *, embedded: bool = False, **settings: Any) -> HomeserverProcess:
        dsn = None if embedded else postgres.create_database()
        made.append(HomeserverProcess(folder / name, dsn, **settings))
        return made[-1]

    yield make
    for server in made:
        server.discard()
