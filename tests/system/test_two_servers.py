"""Two of our servers federate: TLS by a private authority, real sockets, real PostgreSQL."""

from collections.abc import Iterator

import pytest

from homeserver.protocol.room_versions import DEFAULT_ROOM_VERSION
from tests.harness.certificates import Authority
from tests.harness.postgres import TestServer
from tests.harness.process import HomeserverProcess, running
from tests.system.federation_stories import FederationStories, Homes
from tests.system.wider_stories import WiderStories


@pytest.fixture(scope="module")
def homes(
    tmp_path_factory: pytest.TempPathFactory, postgres: TestServer, authority: Authority
) -> Iterator[Homes]:
    """Two servers that trust the same authority."""
    here, there = (
        HomeserverProcess(tmp_path_factory.mktemp(name), postgres.create_database(), authority)
        for name in ("here", "there")
    )
    with running(here, there):
        yield Homes(here, there)


@pytest.fixture
def version() -> str:
    """Other versions are tried with another implementation."""
    return DEFAULT_ROOM_VERSION


class TestTwoOfOurs(FederationStories, WiderStories):
    """The stories."""
