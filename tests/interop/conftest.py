"""Servers of ours for other people's clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.certificates import Authority
from tests.harness.postgres import TestServer
from tests.harness.process import HomeserverProcess, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs something that others made."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, postgres: TestServer) -> Iterator[HomeserverProcess]:
    """A running server, one for all tests of a module: they use people and rooms of their own."""
    made = HomeserverProcess(tmp_path_factory.mktemp("server"), postgres.create_database())
    with running(made):
        yield made


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Whom all of them trust."""
    return Authority()


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres: TestServer, authority: Authority
) -> Iterator[list[HomeserverProcess]]:
    """Two servers of ours."""
    made = [
        HomeserverProcess(tmp_path_factory.mktemp(name), postgres.create_database(), authority)
        for name in ("here", "there")
    ]
    with running(*made):
        yield made
