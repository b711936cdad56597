"""Requests of another server with anything wrong in them, at every endpoint for servers: none of them is a bug of
ours.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.federation.test_hostile_events import Victims
from tests.harness.conformance import ENDPOINTS
from tests.harness.made_up import example, paths, queries
from tests.harness.postgres import TestDatabase
from tests.http.test_specified_endpoints import built
from tests.simulation.hostile_server import encoded
from tests.simulation.nastiness import CHECKS, VALUES, no_bugs, spoilt
from tests.simulation.networked_servers import Simulation

NAMES = sorted(name for name, _ in built() if "/_matrix/federation" in name or "/_matrix/key" in name)


@pytest.mark.parametrize("name", NAMES)
def test_no_request_is_a_bug(world: Simulation, three_databases: tuple[TestDatabase, ...], name: str) -> None:
    victims = Victims(world, three_databases)
    evil, alpha, alice = victims.evil, victims.alpha, victims.alice
    method = name.partition(" ")[0]
    shape = ENDPOINTS[name].get("body")
    room, shared = victims.room("10")
    known = {
        "roomId": room,
        "eventId": shared.last.event_id,
        "userId": evil.user_id,
        "serverName": evil.name,
        "txnId": "t",
    }

    @CHECKS
    @given(st.data())
    def law(data: st.DataObject) -> None:
        target = data.draw(paths(name, known)) + data.draw(queries(name, VALUES))
        good = (
            shared.last.pdu if "/send_" in name or "v1/invite" in name else example(shape) if shape else None
        )
        body = None if good is None else data.draw(st.one_of(spoilt(good, 3), VALUES, st.just(good)))
        with no_bugs():
            reply = evil.ask(alpha, method, target, None if good is None else encoded(body))
        assert reply.status < 500 or (reply.errcode == "M_UNKNOWN" and reply.status == 502), reply.text

    law()
    assert alice.say(room, "text") is not None
