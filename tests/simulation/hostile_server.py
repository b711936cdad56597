"""A server in a simulation that is a test: it sends whatever the test makes up, and answers what the test wants."""

# mypy: allow-untyped-calls
# Twisted's HTTP channel has no annotations.

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote

import orjson
import pytest
from twisted.web.http import HTTPChannel, Request

from federation.wire.request_signing import authorization
from homeserver.gateways import connecting
from homeserver.protocol.events.building import build_event
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.signing import sign_json
from homeserver.protocol.identifiers import RoomID, ServerName, UserID
from homeserver.protocol.room_versions import ROOM_VERSIONS
from homeserver.protocol.signing_keys import SigningKey
from tests.federation.pdu_server import RoomOfPdus, join_by, transaction_of
from tests.harness import conformance
from tests.harness.client import Client, Reply
from tests.harness.outside import respond
from tests.harness.postgres import TestDatabase
from tests.simulation.networked_servers import Server, Simulation

Answer = Callable[[dict[str, Any]], tuple[int, Any]]
V1 = "/_matrix/federation/v1"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, three_databases: tuple[TestDatabase, ...]) -> Iterator[Simulation]:
    """An empty world. Its network carries plain text: Twisted's TLS has timers of the real reactor."""
    monkeypatch.setattr(connecting, "wrapClientTLS", lambda tls, endpoint: endpoint)
    for database in three_databases:
        database.empty()
    made = Simulation(0)
    yield made
    made.close()


class HostileServer:
    """Answers nobody but for its keys and what the test says; asks in the name of its server."""

    def __init__(self, world: Simulation, name: str = "evil.example", number: int = 200) -> None:
        self.world = world
        self.name = ServerName(name)
        self.user_id = UserID(f"@eve:{name}")
        self.key = SigningKey("a_test", name.encode().ljust(32, b"."))
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, Answer] = {}
        self.by_id: dict[str, Event] = {}
        world.names.names[name] = f"203.0.113.{number}"
        world.network.machine(f"203.0.113.{number}").listen(self)

    def ask(self, server: Server, method: str, target: str, body: Any = None, **headers: str) -> Reply:
        """Send a signed request."""
        content = None if body is None else encoded(body)
        signed = authorization(self.key, method, target, self.name, server.name, content)
        pending = Client(server.site).start(
            method, target, content, None, {"Authorization": signed, **headers}
        )
        self.world.wait(lambda: pending.done)
        reply = pending.reply
        pending.abandon()
        return reply

    def send(self, server: Server, *pdus: Any, edus: Any = ()) -> dict[str, Any]:
        """Send a transaction; gives the results by event ID."""
        body = transaction_of(self, pdus, edus)
        reply = self.ask(server, "PUT", f"{V1}/send/{self.world.transaction()}", body)
        assert reply.status == 200, reply.text
        return dict(reply.json["pdus"])

    def join(self, server: Server, room: str) -> RoomOfPdus:
        """Join a room by way of a server."""
        versions = "&".join(f"ver={version}" for version in ROOM_VERSIONS)
        reply = self.ask(server, "GET", f"{V1}/make_join/{room}/{self.user_id}?{versions}")
        assert reply.status == 200, reply.text
        version = ROOM_VERSIONS[reply.json["room_version"]]
        join = join_by(self, room, reply.json)
        place = f"{room}/{quote(join.event_id, safe='$')}"
        reply = self.ask(server, "PUT", f"/_matrix/federation/v2/send_join/{place}", join.pdu)
        assert reply.status == 200, reply.text
        state = [parse_pdu(pdu, version) for pdu in reply.json["state"]]
        return RoomOfPdus(self, version, {event.key: event for event in [*state, join]}, join)

    def found(self, version_id: str, **content: Any) -> RoomOfPdus:
        """A public room of its own, in which only its user is."""
        version = ROOM_VERSIONS[version_id]
        named = (
            None if version.room_id_is_create_hash else RoomID(f"!r{self.world.transaction()}:{self.name}")
        )
        creator = {"creator": self.user_id} if version.creator_in_content else {}
        create = build_event(
            version,
            room_id=named,
            sender=self.user_id,
            type="m.room.create",
            content={"room_version": version_id, **creator, **content},
            state_key="",
            prev_events=[],
            auth_events=[],
            depth=1,
            origin_server_ts=self.world.clock.now_ms(),
            server_name=self.name,
            signing_key=self.key,
        )
        room = RoomOfPdus(self, version, {create.key: create}, create)
        self.by_id[create.event_id] = create
        levels = {} if version.privileged_creators else {"users": {self.user_id: 100}}
        for event_type, key, given in (
            ("m.room.member", self.user_id, {"membership": "join"}),
            ("m.room.power_levels", "", levels),
            ("m.room.join_rules", "", {"join_rule": "public"}),
            ("m.room.history_visibility", "", {"history_visibility": "shared"}),
        ):
            room.last = room.event(event_type, given, state_key=key)
            room.state[event_type, key] = room.last
        return room

    def lets_in(self, room: RoomOfPdus, state: Any = None, chain: Any = None, **more: Any) -> None:
        """Answer whoever wants to join a room of its own."""
        template = {
            "room_id": room.last.room_id,
            "type": "m.room.member",
            "content": {"membership": "join"},
            "prev_events": [room.last.event_id],
            "auth_events": [room.state[key].event_id for key in _FOR_JOINS if key in room.state],
            "depth": room.last.depth + 1,
            "origin_server_ts": 1,
        }
        self.answers["/make_join/"] = lambda request: (
            200,
            {"event": template, "room_version": room.version.id},
        )
        pdus = [event.pdu for event in room.state.values()]
        answer = {
            "state": pdus if state is None else state,
            "auth_chain": pdus if chain is None else chain,
            **more,
        }
        self.answers["/send_join/"] = lambda request: (200, {**answer, "event": request["body"]})

    def buildProtocol(self, addr: object) -> HTTPChannel:
        """A connection to this server."""
        hostile = self

        class _Request(Request):
            def process(self) -> None:
                hostile._answer(self)

        channel = HTTPChannel()
        channel.requestFactory = _Request
        channel.timeOut = None
        return channel

    def _answer(self, request: Any) -> None:
        method, path, body = request.method.decode(), request.uri.decode(), request.content.read()
        self.asked.append((method, path))
        conformance.notice(conformance.check_request, conformance.Request(method, path, body))
        for part, answer in self.answers.items():
            if part in path:
                status, given = answer({"path": unquote(path), "body": orjson.loads(body) if body else {}})
                respond(request, status, encoded(given))
                return
        if path == "/_matrix/key/v2/server":
            respond(request, 200, orjson.dumps(self.keys()))
            return
        event = self.by_id.get(unquote(path.rpartition("/")[2])) if "/event/" in path else None
        if event is not None:
            respond(request, 200, orjson.dumps({"pdus": [event.pdu]}))
        elif "/send/" in path:
            respond(request, 200, b'{"pdus":{}}')
        else:
            respond(request, 404, b'{"errcode":"M_NOT_FOUND","error":"not here"}')

    def keys(self) -> dict[str, Any]:
        """The document in which it publishes its key."""
        unsigned = {
            "server_name": self.name,
            "verify_keys": {self.key.key_id: {"key": self.key.verify_key.text()}},
            "old_verify_keys": {},
            "valid_until_ts": self.world.clock.now_ms() + 86_400_000,
        }
        return sign_json(unsigned, self.name, self.key)


def encoded(value: Any) -> bytes:
    """JSON, also of numbers that no good server would send; bytes are as they are."""
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


_FOR_JOINS = (("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.join_rules", ""))
