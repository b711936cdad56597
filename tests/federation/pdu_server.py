"""A server that is a test: it has a name, keys and a web server, and sends whatever the test makes up."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol
from urllib.parse import unquote

import orjson
from twisted.internet.defer import Deferred

from federation.wire.request_signing import authorization
from homeserver.clock import Clock
from homeserver.gateways.connecting import Place
from homeserver.gateways.http_client import Limits, Target
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.events.building import build_event, hash_and_sign, references_of_template
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.events.signing import sign_json
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.protocol.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.protocol.signing_keys import SigningKey
from tests.federation.whole_servers import WholeServer, World
from tests.harness import conformance
from tests.harness.outside import AUTHORITY, Peer, respond

Answer = Callable[[dict[str, Any]], tuple[int, Any]]


class _World(Protocol):
    @property
    def clock(self) -> Clock: ...


class SendingServer(Protocol):
    """A server that makes events."""

    name: ServerName
    user_id: UserID
    key: SigningKey
    by_id: dict[str, Event]

    @property
    def world(self) -> _World: ...


def transaction_of(server: SendingServer, pdus: Iterable[Any], edus: Iterable[Any]) -> dict[str, Any]:
    """The body of a transaction; PDUs may be what no event is."""
    return {
        "origin": server.name,
        "origin_server_ts": 1,
        "pdus": [pdu.pdu if isinstance(pdu, Event) else pdu for pdu in pdus],
        "edus": list(edus),
    }


def join_by(server: SendingServer, room: str, template: dict[str, Any]) -> Event:
    """The join of a server's user by the answer to `/make_join`."""
    version = ROOM_VERSIONS[template["room_version"]]
    references = references_of_template(template["event"], version)
    return build_event(
        version,
        room_id=RoomID(room),
        sender=server.user_id,
        type="m.room.member",
        content={"membership": "join"},
        state_key=server.user_id,
        prev_events=references.prev_events,
        auth_events=references.auth_events,
        depth=references.depth,
        origin_server_ts=server.world.clock.now_ms(),
        server_name=server.name,
        signing_key=server.key,
        event_id=EventID(f"$join:{server.name}") if version.id in ("1", "2") else None,
    )


class PduServer:
    """Answers nobody but for its keys and what the test says; asks in the name of its server."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = ServerName(name)
        self.user_id = UserID(f"@eve:{name}")
        self.key = SigningKey("a_test", name.encode().ljust(32, b"."))
        self.asked: list[tuple[str, str]] = []
        self.received: list[dict[str, Any]] = []
        self.answers: dict[str, Answer] = {}
        self.by_id: dict[str, Event] = {}
        self._peer = Peer(self._answer, AUTHORITY.leaf([name])).start()
        world.address(name, self._peer.port)
        world.addCleanup(lambda: Deferred.fromCoroutine(self._peer.stop()))

    async def ask(self, server: WholeServer, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        """Send a signed request; gives the status, and the JSON of the answer."""
        status, answer = await self.fetch(server, method, target, body)
        return status, orjson.loads(answer)

    async def fetch(
        self, server: WholeServer, method: str, target: str, body: Any = None
    ) -> tuple[int, bytes]:
        """Send a signed request; gives the status and the body of the answer."""
        content = None if body is None else encode_canonical(body)
        headers = {"Authorization": authorization(self.key, method, target, self.name, server.name, content)}
        if content is not None:
            headers["Content-Type"] = "application/json"
        place = Target((Place(server.name, 8448, server.name),), server.name)
        answer = await self.world.http.send(
            place, method, target, headers=headers, body=content, limits=Limits(seconds=20)
        )
        return answer.status, answer.body

    async def send(
        self, server: WholeServer, *pdus: Any, edus: Any = (), txn: str | None = None
    ) -> dict[str, Any]:
        """Send a transaction; gives the results by event ID."""
        body = transaction_of(self, pdus, edus)
        txn = txn or self.world.transaction()
        status, answer = await self.ask(server, "PUT", f"/_matrix/federation/v1/send/{txn}", body)
        assert status == 200, answer
        return dict(answer["pdus"])

    async def join(self, server: WholeServer, room: str) -> "RoomOfPdus":
        """Join a room by way of a server."""
        versions = "&".join(f"ver={version}" for version in ROOM_VERSIONS)
        target = f"/_matrix/federation/v1/make_join/{room}/{self.user_id}?{versions}"
        status, template = await self.ask(server, "GET", target)
        assert status == 200, template
        version = ROOM_VERSIONS[template["room_version"]]
        join = join_by(self, room, template)
        target = f"/_matrix/federation/v2/send_join/{room}/{join.event_id}"
        status, answer = await self.ask(server, "PUT", target, join.pdu)
        assert status == 200, answer
        state = [parse_pdu(pdu, version) for pdu in answer["state"]]
        return RoomOfPdus(self, version, {event.key: event for event in [*state, join]}, join)

    def _answer(self, request: Any) -> None:
        method, path = request.method.decode(), request.uri.decode()
        self.asked.append((method, path))
        body = self._peer.seen[-1].body
        conformance.notice(conformance.check_request, conformance.Request(method, path, body))
        if path == "/_matrix/key/v2/server":
            respond(request, 200, orjson.dumps(self._keys()))
            return
        content = orjson.loads(body) if body else {}
        if "/send/" in path and "send" not in self.answers:
            self.received.append(content)
            respond(request, 200, b'{"pdus":{}}')
            return
        for part, answer in self.answers.items():
            if part in path:
                status, given = answer({"path": unquote(path), "body": content})
                respond(request, status, orjson.dumps(given))
                return
        if "/event/" in path:
            event = self.by_id.get(unquote(path.rpartition("/")[2]))
            if event is not None:
                respond(request, 200, orjson.dumps({"pdus": [event.pdu]}))
                return
        respond(request, 404, b'{"errcode":"M_NOT_FOUND","error":"not here"}')

    def _keys(self) -> dict[str, Any]:
        unsigned = {
            "server_name": self.name,
            "verify_keys": {self.key.key_id: {"key": self.key.verify_key.text()}},
            "old_verify_keys": {},
            "valid_until_ts": self.world.clock.now_ms() + 86_400_000,
        }
        return sign_json(unsigned, self.name, self.key)


class RoomOfPdus:
    """A room as a test sees it that is a server in it."""

    def __init__(
        self, server: SendingServer, version: RoomVersion, state: dict[Any, Event], last: Event
    ) -> None:
        self.server = server
        self.version = version
        self.state = state
        self.last = last

    def event(
        self,
        event_type: str,
        content: dict[str, Any],
        *,
        state_key: str | None = None,
        prev: list[Event] | list[str] | None = None,
        auth: list[str] | None = None,
        **changed: Any,
    ) -> Event:
        """An event on top of the room as the server knows it; `changed` are keys of the PDU, set before it is
        signed.
        """
        server = self.server
        prev_events = [self.last] if prev is None else prev
        depths = [each.depth for each in prev_events if isinstance(each, Event)]
        pdu: dict[str, Any] = {
            "room_id": self.last.room_id,
            "sender": server.user_id,
            "type": event_type,
            "content": content,
            "origin_server_ts": server.world.clock.now_ms(),
            "depth": max(depths, default=10) + 1,
            "prev_events": [each.event_id if isinstance(each, Event) else each for each in prev_events],
            "auth_events": self.auth_ids() if auth is None else auth,
        }
        if state_key is not None:
            pdu["state_key"] = state_key
        event = hash_and_sign(pdu | changed, self.version, server.name, server.key)
        server.by_id[event.event_id] = event
        return event

    def message(self, text: str, **changed: Any) -> Event:
        """A message, which becomes the last event of the room."""
        self.last = self.event("m.room.message", {"msgtype": "m.text", "body": text}, **changed)
        return self.last

    def auth_ids(self) -> list[str]:
        """The events that authorise what the server's user does."""
        keys = [("m.room.power_levels", ""), ("m.room.member", self.server.user_id)]
        if self.version.create_in_auth_events:
            keys.insert(0, ("m.room.create", ""))
        return [self.state[key].event_id for key in keys if key in self.state]
