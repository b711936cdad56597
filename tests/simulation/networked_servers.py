"""Several whole servers on one test clock and one network in memory, and the people on them.

Nothing happens but by the clock, so hours take seconds. A run repeats under the same `PYTHONHASHSEED`: the order of
sets of text is chance that no seed of ours rules.
"""

# mypy: allow-untyped-calls
# Twisted's clock has no annotations.

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from federation.client.service_records import ServiceRecord
from homeserver.app.core import Core
from homeserver.app.outside import Outside
from homeserver.app.wiring import App, Runtime, build
from homeserver.protocol.identifiers import RoomID, ServerName
from homeserver.protocol.signing_keys import SigningKey
from storage.caches import CacheBudget
from storage.journal import Journal
from storage.threaded import ThreadedReads
from storage.workers import InlineWorkers
from tests.harness.client import Client, Reply
from tests.harness.memory import SeededRandom, SteppingClock, at_once
from tests.harness.network import Network
from tests.harness.outside import Names
from tests.harness.postgres import TestDatabase
from tests.harness.settings import read_settings
from tests.harness.wiretap import Wiretap

V3 = "/_matrix/client/v3"
PATIENCE_S = 300.0
T = TypeVar("T")
_OWED = """select (select count(*) from destinations) + (select count(*) from outbox_lagging)
    + (select count(*) from early_events) + (select count(*) from device_list_outbox)
    + (select count(*) from remote_device_lists where stale_since is not null)"""


class Simulation:
    """The clock, the network, and the servers on it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.clock = SteppingClock()
        self.network = Network(self.clock, seed)
        self.names = Names()
        self.servers: list[Server] = []
        self._transactions = 0

    def server(self, name: str, database: TestDatabase, federation: str = "") -> "Server":
        """A server that the others find by its name; ``federation``: further settings of that section."""
        number = len(self.servers) + 1
        self.names.names[name] = f"203.0.113.{number}"
        made = Server(self, name, f"203.0.113.{number}", database, federation)
        self.servers.append(made)
        return made

    def pass_time(self, seconds: float) -> None:
        """Let everything happen that falls due."""
        end = self.clock.seconds() + seconds
        while self._step(end):
            pass

    def rest(self, seconds: float) -> None:
        """Let time pass until no server has anything left to do for another; so many seconds at most."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.pass_time(30)
            if all(server.owes_nothing() for server in self.servers):
                return

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Let the world go on until something has come about."""
        end = self.clock.seconds() + seconds
        while not condition():
            if not self._step(end):
                raise AssertionError(f"it did not come about within {seconds} s")

    def result(self, awaitable: Coroutine[Deferred[Any], Any, T]) -> T:
        """Run a coroutine to its end while the world goes on."""
        outcome: list[T | Failure] = []
        _ = Deferred.fromCoroutine(awaitable).addBoth(outcome.append)
        self.wait(lambda: bool(outcome))
        (result,) = outcome
        if isinstance(result, Failure):
            result.raiseException()
            raise AssertionError("a failure raises")
        return result

    def transaction(self) -> str:
        """A transaction ID that was not used yet."""
        self._transactions += 1
        return f"t{self._transactions}"

    def close(self) -> None:
        """The end of the world."""
        for server in self.servers:
            server.kill()

    def _step(self, end: float) -> bool:
        """Move on to the next moment at which something happens; False if that is after the end."""
        clock = self.clock.twisted
        planned: Any = clock.getDelayedCalls()
        due = min((call.getTime() for call in planned), default=end + 1)
        clock.advance(max(0.0, min(due, end) - clock.seconds()))
        return bool(due <= end)


class Server:
    """One server with its clients' side."""

    app: App
    http: Client

    def __init__(
        self, world: Simulation, name: str, address: str, database: TestDatabase, federation: str = ""
    ) -> None:
        self.world = world
        self.name = ServerName(name)
        self.address = address
        self.database = database
        self._key = SigningKey(f"a_{name.partition('.')[0]}", name.encode().ljust(32, b"."))
        self._settings = (
            f"server_name: {name}\nregistration: {{mode: open}}\nrate_limits: {{enabled: false}}\n"
            "passwords: {time_cost: 1, memory: 8KiB}\n"
            f"federation:\n  allow_networks: [203.0.113.0/24]\n  {federation}\n"
        )
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Start it, on what its database has."""
        self._starts += 1
        self.machine = self.world.network.machine(self.address)
        self._storage = self.database.opened()
        core = Core(
            config=read_settings(self._settings),
            server_name=self.name,
            signing_key=self._key,
            clock=self.machine,
            random=SeededRandom(f"{self.world.seed} {self.name} {self._starts}"),
            database=self._storage,
            threaded_reads=ThreadedReads(self._storage, InlineWorkers()),
            journal=Journal(self._storage, f"tests{self._starts}"),
            caches=CacheBudget(64_000_000),
        )
        outside = Outside(self.machine, self.world.names, _no_services)
        self.app = build(core, Runtime(InlineWorkers(), at_once, outside), {})
        self.world.result(self._begin(core))
        self.site = self.app.site("federation", "client")
        self.machine.listen(Wiretap(self.site))
        self.http = Client(self.site)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.machine.kill()
        self._storage.close()

    def stop(self) -> None:
        """Stop it in order."""
        self.machine.listen(None)
        self.app.closing()
        self.world.result(self.site.close(0.0))
        self.world.result(self.app.stop())
        self.kill()

    def person(self, name: str) -> "Person":
        """Somebody with a new account."""
        body = {"username": name, "password": "correct horse", "auth": {"type": "m.login.dummy"}}
        return Person(self, self.http.post(f"{V3}/register", body).json)

    def events(self, room: str) -> dict[str, int]:
        """All events that have a place in the room, with their status."""
        sql = "select event_id, status from events where room_id = %s and state_before is not null"
        return {str(event_id): int(str(status)) for event_id, status in self.database.rows(sql, room)}

    def extremities(self, room: str) -> set[str]:
        """The room's forward extremities."""
        head = self.world.result(self.app.rooms_core.heads.find(RoomID(room)))
        assert head is not None
        return {extremity.event_id for extremity in head.extremities}

    def owes_nothing(self) -> bool:
        """Whether no other server is away or behind, and nothing waits for what another has yet to say."""
        return self.database.rows(_OWED) == [(0,)]

    async def _begin(self, core: Core) -> None:
        await core.journal.start()
        await self.app.start()


class Person:
    """A user and what they do. Their client syncs now and then, and counts what it is told."""

    def __init__(self, server: Server, answer: dict[str, Any]) -> None:
        self.server = server
        self.user_id: str = answer["user_id"]
        self.device_id: str = answer["device_id"]
        self.heard: Counter[str] = Counter()
        self._token: str = answer["access_token"]
        self._since: str | None = None

    def ask(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> Reply:
        """Ask the user's server, while the world goes on."""
        return self.ask_path(method, f"{V3}{path}", body, query)

    def ask_path(
        self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None
    ) -> Reply:
        """The same for any path."""
        body = {} if body is None and method != "GET" else body
        http = self.server.http.with_token(self._token)
        pending = http.start(method, path, body, query)
        self.server.world.wait(lambda: pending.done)
        reply = pending.reply
        pending.abandon()
        return reply

    def do(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> Any:
        """The same, if it must work; gives the JSON."""
        reply = self.ask(method, path, body, query)
        assert reply.status == 200, f"{self.user_id}: {method} {path}: {reply.status} {reply.text}"
        return reply.json

    def join(self, room: str, via: Server) -> Reply:
        """Try to join a room."""
        return self.ask("POST", f"/join/{quote(room, safe='')}", {}, {"via": via.name})

    def act(self, room: str, action: str, **body: Any) -> Reply:
        """Try to do something to memberships."""
        return self.ask("POST", f"/rooms/{quote(room)}/{action}", body)

    def say(self, room: str, text: str) -> str | None:
        """Say something; the event's ID if the server took it."""
        path = f"/rooms/{quote(room)}/send/m.room.message/{self.server.world.transaction()}"
        reply = self.ask("PUT", path, {"msgtype": "m.text", "body": text})
        return str(reply.json["event_id"]) if reply.status == 200 else None

    def set_state(self, room: str, event_type: str, content: Any) -> Reply:
        """Try to set state."""
        return self.ask("PUT", f"/rooms/{quote(room)}/state/{event_type}/", content)

    def state(self, room: str) -> dict[tuple[str, str], str]:
        """The event IDs of the room's state."""
        events = self.do("GET", f"/rooms/{quote(room)}/state")
        return {(event["type"], event["state_key"]): event["event_id"] for event in events}

    def sync(self, room: str) -> None:
        """Hear what is new, and count it."""
        query = {"timeout": 0, "filter": '{"room":{"timeline":{"limit":1000}}}'}
        if self._since is not None:
            query["since"] = self._since
        answer = self.do("GET", "/sync", None, query)
        self._since = answer["next_batch"]
        joined = answer.get("rooms", {}).get("join", {}).get(room, {})
        self.heard.update(event["event_id"] for event in joined.get("timeline", {}).get("events", ()))


async def _no_services(service: str) -> list[ServiceRecord]:
    return []
