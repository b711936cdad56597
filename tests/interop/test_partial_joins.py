"""A person of ours enters a large room of a Synapse before its members are known."""

from collections.abc import Iterator

import pytest

from tests.harness.certificates import Authority
from tests.harness.live_client import eventually
from tests.harness.postgres import TestServer
from tests.harness.process import HomeserverProcess, running
from tests.harness.synapse import SynapseProcess
from tests.system.federation_stories import PATIENCE_S, Homes


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres: TestServer
) -> Iterator[tuple[HomeserverProcess, SynapseProcess]]:
    """One of each. Ours does not wait for members."""
    authority = Authority()
    synapse = SynapseProcess(tmp_path_factory.mktemp("synapse"), authority)
    folder = tmp_path_factory.mktemp("ours")
    federation = {
        "ca_file": str(authority.write(folder / "authority.pem")),
        "allow_networks": ["127.0.0.0/8"],
        "partial_state_joins": True,
    }
    ours = HomeserverProcess(
        folder, postgres.create_database(), authority, settings={"federation": federation}
    )
    with running(ours, synapse):
        yield ours, synapse


def test_a_room_of_a_synapse_is_entered_before_its_members_are_known(
    pair: tuple[HomeserverProcess, SynapseProcess],
) -> None:
    ours, synapse = pair
    homes = Homes(synapse, ours)
    ann, bea = homes.people()
    room = ann.create(preset="public_chat", name="Tea", room_version="12")
    others = [homes.here.register(f"other{number}") for number in range(8)]
    for other in others:
        other.join(room)
    other_ids = {other.user_id for other in others}
    bea.join(room, homes.here.server_name)
    bea.say(room, "hello")
    eventually(lambda: "hello" in ann.texts(room), PATIENCE_S, "the greeting")
    others[0].say(room, "welcome")
    eventually(lambda: "welcome" in bea.texts(room), PATIENCE_S, "the welcome")
    assert bea.members(room) == {ann.user_id, bea.user_id, *other_ids}
    assert "room is whole" in ours.log.read_text()
