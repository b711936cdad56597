"""Whole servers of ours in one process: the real composition, real PostgreSQL, real TLS on loopback, and the
people on them.
"""

import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import TestCase

from config.loading import parse
from federation.client.service_records import ServiceRecord
from homeserver.app.core import Core
from homeserver.app.outside import Outside
from homeserver.app.runtime import ReactorClock
from homeserver.app.wiring import App, Runtime, build
from homeserver.bus import Bus, OneNode
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey, VerifyKey
from storage.caches import CacheBudget
from storage.journal import Journal
from storage.threaded import ThreadedReads
from storage.workers import InlineWorkers
from tests.federation.homeservers import WORLD
from tests.harness.client import Client, Reply
from tests.harness.memory import SeededRandom, at_once
from tests.harness.outside import AUTHORITY, Names, Streets, http_client, reactor, sleep
from tests.harness.postgres import TestDatabase
from tests.harness.wiretap import Wiretap

V3 = "/_matrix/client/v3"

Test = Callable[[Any], Coroutine[Deferred[Any], Any, None]]


class World(TestCase):
    """Names, addresses, and the servers that a test puts there. Time is real."""

    timeout = 60
    databases: tuple[TestDatabase, ...] = ()

    def setUp(self) -> None:
        self.clock = ReactorClock(reactor)
        self.names = Names()
        self.streets = Streets()
        self._free = list(self.databases)
        self._number = 0
        self._txn = 0
        self.http = http = http_client(self.names, WORLD, streets=self.streets)
        self.addCleanup(lambda: Deferred.fromCoroutine(http.close()))

    def put(self, module: object, name: str, value: object) -> None:
        """Let something be different until the end of the test."""
        self.addCleanup(setattr, module, name, getattr(module, name))
        setattr(module, name, value)

    async def server(self, name: str, settings: str = "", gates: "Sequence[Gate]" = ()) -> "WholeServer":
        """A server that the others find by its name; requests of other servers go through the gates."""
        made = WholeServer(self, name, self._free.pop(), settings, gates)
        self.addCleanup(lambda: Deferred.fromCoroutine(made.discard()))
        await made.start()
        return made

    async def two_servers(self) -> "tuple[WholeServer, WholeServer]":
        """Two of them."""
        return await self.server("alpha.example"), await self.server("beta.example")

    def address(self, name: str, target: int) -> str:
        """Put a server that listens on a port of loopback at an address of its own."""
        self._number += 1
        address = f"203.0.113.{self._number}"
        self.names.names[name] = address
        self.streets.houses[address, 8448] = target
        return address

    async def services(self, service: str) -> list[ServiceRecord]:
        """There are no SRV records."""
        return []

    def transaction(self) -> str:
        """A transaction ID that was not used yet."""
        self._txn += 1
        return f"t{self._txn}"


class Gate:
    """Holds up requests of other servers whose paths have a part, while it is closed; and may make another answer of
    one.
    """

    def __init__(self, part: str, change: Callable[[Any], Any] | None = None) -> None:
        self.part = part
        self.closed = change is None
        self.change = change
        self.waiting: list[Deferred[None]] = []
        self.asked = 0

    def open(self) -> None:
        """Let everybody through, from now on."""
        self.closed = False
        for waiting in self.waiting:
            if not waiting.called:
                waiting.callback(None)

    def put(self, app: App) -> None:
        """Stand before the endpoints of a server that is not started yet."""
        endpoints = app.endpoints["federation"]
        assert isinstance(endpoints, list)
        endpoints[:] = [
            replace(each, call=self._before(each.call))
            if any(self.part in path for path in each.endpoint.paths)
            else each
            for each in endpoints
        ]

    def _before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def held(*arguments: Any, **named: Any) -> Any:
            self.asked += 1
            if self.closed:
                waiting: Deferred[None] = Deferred()
                self.waiting.append(waiting)
                await waiting
            answer = await call(*arguments, **named)
            return answer if self.change is None else self.change(answer)

        return held


class WholeServer:
    """One server with its clients' side."""

    app: App

    def __init__(
        self,
        world: World,
        name: str,
        database: TestDatabase,
        settings: str,
        gates: "Sequence[Gate]" = (),
    ) -> None:
        self.gates = gates
        self.world = world
        self.name = ServerName(name)
        self.key = SigningKey(f"a_{name.partition('.')[0]}", name.encode().ljust(32, b"."))
        self.old_keys: list[VerifyKey] = []
        self.database = database
        self.folder = tempfile.TemporaryDirectory()
        (Path(self.folder.name) / "ca.pem").write_bytes(AUTHORITY.pem)
        self.settings = (
            f"server_name: {name}\nregistration: {{mode: open}}\nrate_limits: {{enabled: false}}\n"
            "passwords: {time_cost: 1, memory: 8KiB}\n"
            "federation:\n  ca_file: ca.pem\n  allow_networks: [203.0.113.0/24]\n" + settings
        )
        self.running = False
        self._starts = 0
        self._apps: list[App] = []

    async def start(self) -> None:
        """Start it, on what its database has."""
        self._starts += 1
        self.storage = self.database.opened()
        random = SeededRandom(hash((self.name, self._starts)))
        core = Core(
            config=parse(self.settings, Path(self.folder.name)),
            server_name=self.name,
            signing_key=self.key,
            clock=self.world.clock,
            random=random,
            database=self.storage,
            threaded_reads=ThreadedReads(self.storage, InlineWorkers()),
            journal=Journal(self.storage, f"tests{self._starts}"),
            caches=CacheBudget(64_000_000),
            old_keys=tuple(self.old_keys),
            bus=self.bus(),
        )
        outside = Outside(self.world.streets, self.world.names, self.world.services)
        self.app = build(core, Runtime(InlineWorkers(), at_once, outside), {})
        self._apps.append(self.app)
        for gate in self.gates:
            gate.put(self.app)
        await core.journal.start()
        await self.app.start()
        self.site = self.app.site("federation", "client")
        leaf = AUTHORITY.leaf([self.name])
        self._listening: Any = reactor.listenSSL(0, Wiretap(self.site), leaf.options(), interface="127.0.0.1")
        self.port = self._listening.getHost().port
        self.address = self.world.address(self.name, self.port)
        self.http = Client(self.site)
        self.running = True

    def bus(self) -> Bus:
        """What connects it with other nodes: there are none."""
        return OneNode()

    def rotate_key(self) -> None:
        """Let it sign with another key from the next start on."""
        old = self.key.verify_key
        self.old_keys.append(VerifyKey(old.key_id, old.public, self.world.clock.now_ms(), expired=True))
        version = f"b_{len(self.old_keys)}"
        self.key = SigningKey(version, (version + self.name).encode().ljust(32, b"."))

    async def stop(self) -> None:
        """Stop it in order."""
        if self.running:
            self.running = False
            await maybeDeferred(self._listening.stopListening)
            self.app.closing()
            await self.site.close(0.0)
            await self.app.stop()
            self.storage.close()
            await sleep(0)  # news of its sockets must not reach those that get their numbers next

    async def die(self) -> None:
        """Stop it as if it was killed: what it would put on record at its end is not."""
        self.app.federation.sender._started = False
        joins, completing = self.app.federation.shared.joins, self.app.federation.shared.completing
        joins._stopped = True
        for working in [*joins._under_way.values(), *completing._working.values()]:
            working.cancel()
        joins._under_way.clear()
        await self.stop()

    async def discard(self) -> None:
        """Stop it for good."""
        await self.stop()
        self.folder.cleanup()
        await _settled()
        for app in self._apps:
            await app.transport.stop()  # and close connections that came about after the end

    def cut_off(self) -> None:
        """Nobody can reach it any more."""
        self.world.streets.houses[self.address, 8448] = 1

    def reconnect(self) -> None:
        """Everybody can."""
        self.world.streets.houses[self.address, 8448] = self.port

    async def person(self, name: str) -> "Person":
        """Somebody with a new account."""
        body = {"username": name, "password": "correct horse", "auth": {"type": "m.login.dummy"}}
        reply = await request(self.http, "POST", f"{V3}/register", body)
        assert reply.status == 200, reply.text
        return Person(self, reply.json)


class Person:
    """A user and what they do; methods check that it worked, `ask` does not."""

    def __init__(self, server: WholeServer, answer: dict[str, Any]) -> None:
        self.server = server
        self.user_id: str = answer["user_id"]
        self.token: str = answer["access_token"]

    async def ask(
        self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None
    ) -> Reply:
        """Ask the user's server."""
        return await self.ask_path(method, f"{V3}{path}", body, query)

    async def ask_path(
        self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None
    ) -> Reply:
        """The same for any path."""
        return await request(self.server.http.with_token(self.token), method, path, body, query)

    async def do(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> Any:
        """The same, if it must work; gives the JSON."""
        reply = await self.ask(method, path, body, query)
        assert reply.status == 200, f"{method} {path}: {reply.status} {reply.text}"
        return reply.json

    async def create(self, **wishes: Any) -> str:
        """Make a room."""
        return str((await self.do("POST", "/createRoom", wishes))["room_id"])

    async def public_room(self, **wishes: Any) -> str:
        """Make a room that anybody may join."""
        return await self.create(preset="public_chat", **wishes)

    async def join(self, room: str, *via: WholeServer, **body: Any) -> Any:
        """Join a room."""
        return await self.do("POST", f"/join/{escaped(room)}", body, {"via": [each.name for each in via]})

    async def try_join(self, room: str, *via: WholeServer) -> Reply:
        """Try to join a room."""
        return await self.ask("POST", f"/join/{escaped(room)}", {}, {"via": [each.name for each in via]})

    async def act(self, room: str, action: str, **body: Any) -> Any:
        """Do something to memberships."""
        return await self.do("POST", room_path(room, action), body)

    async def invite(self, room: str, other: "Person") -> None:
        """Invite somebody."""
        await self.act(room, "invite", user_id=other.user_id)

    async def say(self, room: str, text: str) -> str:
        """Say something; the event's ID."""
        body = {"msgtype": "m.text", "body": text}
        path = room_path(room, "send", "m.room.message", self.server.world.transaction())
        return str((await self.do("PUT", path, body))["event_id"])

    async def set_state(self, room: str, event_type: str, content: Any, state_key: str = "") -> str:
        """Set state."""
        path = room_path(room, "state", event_type, state_key)
        return str((await self.do("PUT", path, content))["event_id"])

    async def history(self, room: str, limit: int = 100) -> list[dict[str, Any]]:
        """The latest events, the oldest first."""
        page = await self.do("GET", room_path(room, "messages"), None, {"dir": "b", "limit": limit})
        return list(reversed(page["chunk"]))

    async def texts(self, room: str, limit: int = 100) -> list[str]:
        """What was said, the oldest first."""
        return [
            event["content"]["body"]
            for event in await self.history(room, limit)
            if "body" in event["content"]
        ]

    async def state(self, room: str) -> dict[tuple[str, str], str]:
        """The event IDs of the room's state."""
        events = await self.do("GET", room_path(room, "state"))
        return {(event["type"], event["state_key"]): event["event_id"] for event in events}

    async def members(self, room: str) -> dict[str, str]:
        """Everybody's membership."""
        answer = await self.do("GET", room_path(room, "members"))
        return {event["state_key"]: event["content"]["membership"] for event in answer["chunk"]}

    async def sync(self, since: str | None = None, timeout: int = 0) -> Any:
        """Sync."""
        query: dict[str, Any] = {"timeout": timeout}
        if since is not None:
            query["since"] = since
        return await self.do("GET", "/sync", None, query)

    async def rooms(self, kind: str, since: str | None = None) -> Any:
        """The rooms of a kind (join, invite, knock, leave) in a sync."""
        return (await self.sync(since)).get("rooms", {}).get(kind, {})

    async def hears(self, room: str, text: str) -> None:
        """Wait until something was said in a room."""
        await eventually(lambda: self._heard(room, text))

    async def _heard(self, room: str, text: str) -> bool:
        return text in await self.texts(room)


def escaped(text: str) -> str:
    """A text as a segment of a path."""
    return quote(text, safe="")


def room_path(room: str, *segments: str) -> str:
    """The path of an endpoint under a room."""
    return "/".join(["/rooms", *(escaped(segment) for segment in (room, *segments))])


async def request(
    http: Client, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None
) -> Reply:
    """Send a request and wait for its answer, while the world goes on."""
    pending = http.start(method, path, body if body is not None or method == "GET" else {}, query)
    for _ in range(3000):
        if pending.done:
            reply = pending.reply
            pending.abandon()
            return reply
        await sleep(0.005)
    raise AssertionError(f"{method} {path} was not answered")


async def _settled() -> None:
    """Let attempts to connect to servers that are away come to their end."""
    for _ in range(20):
        if all(call.getTime() - reactor.seconds() > 20 for call in reactor.getDelayedCalls()):
            return
        await sleep(0.05)


async def eventually(
    condition: Callable[[], Coroutine[Deferred[Any], Any, bool]], seconds: float = 30
) -> None:
    """Wait until something has come about."""
    for _ in range(int(seconds / 0.05)):
        if await condition():
            return
        await sleep(0.05)
    raise AssertionError("it did not come about")


def in_world(test: Test) -> Callable[[Any], Deferred[None]]:
    """Make a coroutine a test of trial's."""

    @wraps(test)
    def run(self: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(test(self))

    return run
