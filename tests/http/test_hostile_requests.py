"""Requests with anything wrong in them, at every endpoint for clients: none of them is a bug of ours.

Odd paths were a way out of the media store once (CVE-2021-41281), odd texts a way to stop a whole account.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.http.router import Route, Router
from homeserver.protocol.errors import InvalidParam, Unrecognized
from storage.database import Database
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.client import Reply
from tests.harness.conformance import ENDPOINTS
from tests.harness.made_up import ODD_SEGMENTS, example, paths, queries
from tests.http.test_specified_endpoints import built
from tests.simulation.hostile_server import encoded
from tests.simulation.nastiness import VALUES, no_bugs, spoilt

FEW = settings(
    max_examples=12,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
# They end the session by which the test asks.
ENDING = ("/logout", "/account/deactivate", "/account/password", "/delete_devices")
NAMES = sorted(
    name
    for name, _ in built()
    if ("/_matrix/client" in name or "/_matrix/media" in name) and not any(part in name for part in ENDING)
)


class Scene:
    """Anna, and what there is to be asked for."""

    def __init__(self, site: SyncSite) -> None:
        self.site = site
        self.anna: Syncer = site.person("anna")
        self.known: dict[str, str] = {}
        self.fresh()

    def fresh(self) -> Mapping[str, str]:
        """A room, and the names of what is in it."""
        room = self.anna.public_room()
        self.known = {
            "roomId": room,
            "roomIdOrAlias": room,
            "eventId": self.anna.say(room, "text"),
            "userId": self.anna.user_id,
            "deviceId": self.anna.device_id,
            "eventType": "m.room.message",
            "stateKey": "",
            "receiptType": "m.read",
            "kind": "content",
            "keyName": "displayname",
            "type": "m.test",
            "relType": "m.thread",
            "roomAlias": "#x:test",
        }
        return self.known

    def ask(self, method: str, target: str, body: bytes | None = None) -> Reply:
        """Ask as Anna, and let time pass for whoever waits."""
        here = replace(self.anna.here, pump=lambda: self.site.turn(1))
        return here.request(method, target, body)


@pytest.fixture
def scene(database: Database) -> Scene:
    """A whole server."""
    return Scene(SyncSite(database))


@pytest.mark.parametrize("name", NAMES)
def test_no_request_is_a_bug(scene: Scene, name: str) -> None:
    method = name.partition(" ")[0]
    shape = ENDPOINTS[name].get("body")
    scene.fresh()

    @FEW
    @given(st.data())
    def law(data: st.DataObject) -> None:
        target = data.draw(paths(name, scene.known)) + data.draw(queries(name, VALUES))
        body = None
        if method != "GET" and shape not in (None, "bytes"):
            good = example(shape)
            body = encoded(data.draw(st.one_of(spoilt(good, 3), VALUES, st.just(good))))
        elif method != "GET":
            body = b"{}"
        with no_bugs():
            reply = scene.ask(method, target, body)
        assert reply.status < 500 or reply.status == 502, f"{method} {target} {body!r}: {reply.text}"
        assert "x-injected" not in reply.headers

    law()
    assert scene.anna.try_sync().status == 200


def test_a_segment_is_never_more_than_a_segment() -> None:
    """What is escaped in a path stays in its place: it neither goes up nor becomes two."""
    router = Router(
        [Route("GET", "/a/{name}", "one"), Route("GET", "/a/{name}/b", "two"), Route("GET", "/c", "up")]
    )
    for odd in ODD_SEGMENTS:
        with suppress(InvalidParam, Unrecognized):
            assert router.match("GET", f"/a/{odd.replace('?', '')}/b").route.target == "two"
