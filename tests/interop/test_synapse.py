"""One of our servers and a Synapse federate: the same stories as between two of ours, with rooms of either."""

from collections.abc import Iterator

import pytest

from tests.harness.certificates import Authority
from tests.harness.postgres import TestServer
from tests.harness.process import HomeserverProcess, running
from tests.harness.synapse import SynapseProcess
from tests.system.federation_stories import FederationStories, Homes
from tests.system.wider_stories import WiderStories


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres: TestServer
) -> Iterator[tuple[HomeserverProcess, SynapseProcess]]:
    """One of each, which trust the same authority."""
    authority = Authority()
    synapse = SynapseProcess(tmp_path_factory.mktemp("synapse"), authority)
    ours = HomeserverProcess(tmp_path_factory.mktemp("ours"), postgres.create_database(), authority)
    with running(ours, synapse):
        yield ours, synapse


@pytest.fixture(params=["10", "12"])
def version(request: pytest.FixtureRequest) -> str:
    """The version that most rooms of today have, and the newest."""
    return str(request.param)


class TestOurRooms(FederationStories):
    """People of the Synapse come into rooms that were made on our server."""

    @pytest.fixture
    def homes(self, pair: tuple[HomeserverProcess, SynapseProcess]) -> Homes:
        """Ours is here."""
        ours, synapse = pair
        return Homes(ours, synapse)


class TestRoomsOfSynapse(FederationStories):
    """Our people come into rooms that were made on the Synapse."""

    @pytest.fixture
    def homes(self, pair: tuple[HomeserverProcess, SynapseProcess]) -> Homes:
        """Synapse is here."""
        ours, synapse = pair
        return Homes(synapse, ours)


class TestMoreInOurRooms(WiderStories):
    """The wider stories, in rooms of ours of the newest version."""

    @pytest.fixture
    def homes(self, pair: tuple[HomeserverProcess, SynapseProcess]) -> Homes:
        """Ours is here."""
        ours, synapse = pair
        return Homes(ours, synapse)

    @pytest.fixture
    def version(self) -> str:
        """One will do."""
        return "12"


class TestMoreInRoomsOfSynapse(TestMoreInOurRooms):
    """The same in rooms of the Synapse."""

    @pytest.fixture
    def homes(self, pair: tuple[HomeserverProcess, SynapseProcess]) -> Homes:
        """Synapse is here."""
        ours, synapse = pair
        return Homes(synapse, ours)
