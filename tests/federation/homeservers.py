"""Servers of ours in one process, over real wiring, real PostgreSQL and real TLS on loopback."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import TestCase

from config.loading import parse
from federation.client.service_records import ServiceRecord
from federation.wire.request_signing import authorization
from homeserver.app.core import Core
from homeserver.app.outside import Outside
from homeserver.app.wiring_federation_transport import FederationTransport, build_federation_transport
from homeserver.gateways.addresses import AddressPolicy
from homeserver.gateways.connecting import Place
from homeserver.gateways.http_client import Answer, HttpClient, Limits, Target
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.endpoint import Body, collect, endpoint
from homeserver.http.endpoint import Path as PathPart
from homeserver.http.metrics import Metrics
from homeserver.http.pipeline import Pipeline
from homeserver.http.rate_limits import RateLimits
from homeserver.http.router import Router
from homeserver.http.site import Site
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey
from storage.caches import CacheBudget
from storage.journal import Journal
from storage.threaded import ThreadedReads
from storage.workers import InlineWorkers
from tests.harness.memory import SeededRandom, SteppingClock, at_once
from tests.harness.outside import AUTHORITY, Names, Streets, http_client, reactor
from tests.harness.postgres import TestDatabase

WORLD = AddressPolicy(allow=(ip_network("203.0.113.0/24"),))


@dataclass(slots=True)
class EchoApi:
    """Tells who asked and what came."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    @endpoint("PUT", "/_matrix/federation/v1/send/{txn_id}", auth=server_signature, spec="")
    async def send(self, origin: Origin, txn_id: PathPart[str], body: Body[dict[str, Any]]) -> dict[str, Any]:
        """Take a transaction."""
        self.seen.append(body)
        return {"pdus": {}, "origin": origin.server, "txn": txn_id}

    @endpoint("GET", "/_matrix/federation/v1/query/profile", auth=server_signature, spec="")
    async def profile(self, origin: Origin) -> dict[str, Any]:
        """Answer a query."""
        return {"displayname": origin.server}


class Internet(TestCase):
    """Names, addresses, a clock, and the servers that a test puts there."""

    timeout = 30
    databases: tuple[TestDatabase, ...] = ()

    def setUp(self) -> None:
        self.clock = SteppingClock()
        self.names = Names()
        self.streets = Streets()
        self.records: dict[str, list[ServiceRecord]] = {}
        self._free = list(self.databases)
        self._number = 0
        self.http = http = http_client(self.names, WORLD, streets=self.streets)
        self.addCleanup(lambda: Deferred.fromCoroutine(http.close()))

    def homeserver(self, name: str, settings: str = "") -> "Homeserver":
        """A server of ours that the others find by its name."""
        made = Homeserver(self, name, self._free.pop(), settings)
        self.addCleanup(lambda: Deferred.fromCoroutine(made.stop()))
        return made

    def address(self, name: str, port: int, target: int) -> None:
        """Put a server that listens on a port of loopback at an address of its own."""
        self._number += 1
        address = f"203.0.113.{self._number}"
        self.names.names[name] = address
        self.streets.houses[address, port] = target

    async def services(self, service: str) -> list[ServiceRecord]:
        """The SRV records that the test has made."""
        return self.records.get(service, [])


class Homeserver:
    """One server of ours: its transport, and a site with an endpoint of the test's."""

    def __init__(self, internet: Internet, name: str, database: TestDatabase, settings: str) -> None:
        self.internet = internet
        self.name = ServerName(name)
        self.key = SigningKey(f"a_{name.partition('.')[0]}", name.encode().ljust(32, b"."))
        self.database = database
        self.storage = database.opened()
        self.folder = tempfile.TemporaryDirectory()
        (Path(self.folder.name) / "ca.pem").write_bytes(AUTHORITY.pem)
        self.settings = (
            f"server_name: {name}\nfederation:\n  ca_file: ca.pem\n  allow_networks: [203.0.113.0/24]\n"
        )
        self.settings += settings
        self.config = parse(self.settings, Path(self.folder.name))
        self.echo = EchoApi()
        self.transport = self._transport()
        self._listening = self._listen(name)

    def _transport(self) -> FederationTransport:
        core = Core(
            config=self.config,
            server_name=self.name,
            signing_key=self.key,
            clock=self.internet.clock,
            random=SeededRandom(len(self.name)),
            database=self.storage,
            threaded_reads=ThreadedReads(self.storage, InlineWorkers()),
            journal=Journal(self.storage, "tests"),
            caches=CacheBudget(10_000_000),
        )
        outside = Outside(self.internet.streets, self.internet.names, self.internet.services)
        return build_federation_transport(core, outside)

    def _listen(self, name: str) -> Any:
        transport, clock, random = self.transport, self.internet.clock, SeededRandom()
        metrics = Metrics()
        pipeline = Pipeline(
            transport.authenticators,
            RateLimits(self.config.rate_limits.by_name, clock, enabled=False),
            {"default": 1_000_000},
            metrics,
            clock,
            random,
            at_once,
        )
        router = Router(pipeline.routes([*transport.endpoints, *collect(self.echo)]))
        self.site = Site(router, pipeline, metrics, clock)
        leaf = AUTHORITY.leaf([name])
        listening: Any = reactor.listenSSL(0, self.site, leaf.options(), interface="127.0.0.1")
        self.internet.address(name, 8448, listening.getHost().port)
        return listening

    async def restart(self) -> None:
        """Forget everything but what is in the database."""
        await self.transport.stop()
        await self.go_away()
        self.transport = self._transport()
        await self.transport.health.load()
        self._listening = self._listen(self.name)

    async def go_away(self) -> None:
        """Listen no more."""
        await maybeDeferred(self._listening.stopListening)
        closing = Deferred.fromCoroutine(self.site.close(0.0))
        self.internet.clock.advance(1)
        await closing

    async def stop(self) -> None:
        """End it."""
        await self.transport.stop()
        await self.go_away()
        self.storage.close()
        self.folder.cleanup()

    async def get(self, target: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Ask it something, as anybody."""
        return await ask(self.internet.http, self, "GET", target, None, headers or {})

    async def put(self, target: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
        """Send it a body."""
        return await ask(self.internet.http, self, "PUT", target, body, headers)

    async def post(self, target: str, body: Any) -> tuple[int, Any]:
        """Post JSON to it, as anybody."""
        return await ask(self.internet.http, self, "POST", target, orjson.dumps(body), {})

    def signs(self, method: str, target: str, destination: str, content: bytes | None) -> dict[str, str]:
        """The header by which this server signs a request."""
        return {"Authorization": authorization(self.key, method, target, self.name, destination, content)}


async def ask(
    http: HttpClient,
    server: Homeserver,
    method: str,
    target: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> tuple[int, Any]:
    """Ask a server, and return the status and the JSON of its answer."""
    place = Target((Place(server.name, 8448, server.name),), server.name)
    answer: Answer = await http.send(
        place, method, target, headers=headers, body=body, limits=Limits(seconds=10)
    )
    return answer.status, orjson.loads(answer.body)


@pytest.fixture
def internet(request: pytest.FixtureRequest, three_databases: tuple[TestDatabase, ...]) -> None:
    """Give a class of tests its databases, empty."""
    for each in three_databases:
        each.empty()
    request.cls.databases = three_databases
