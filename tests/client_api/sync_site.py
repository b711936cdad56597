"""The whole program behind HTTP in memory, and people who sync on it."""

import json
from collections.abc import Mapping
from typing import Any

from homeserver.app.core import Core
from homeserver.app.outside import Outside
from homeserver.app.wiring import Runtime, build
from homeserver.bus import Bus, OneNode
from homeserver.clock import Clock
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey
from storage.caches import CacheBudget
from storage.database import Database
from storage.journal import Journal
from storage.threaded import ThreadedReads
from storage.workers import InlineWorkers
from tests.client_api.accounts_site import PASSWORD
from tests.client_api.rooms_site import V3, Person, room_path
from tests.harness.client import Client, Pending, Reply
from tests.harness.memory import SeededRandom, SteppingClock, at_once, result_of
from tests.harness.settings import configured

SYNC = f"{V3}/sync"


class SyncSite:
    """One server; `restart` makes another one over the same database."""

    def __init__(
        self,
        database: Database,
        changes: Mapping[str, object] | None = None,
        cache: int = 30_000_000,
        seed: int = 0,
    ) -> None:
        self.database = database
        self.clock = SteppingClock()
        self._config = configured(changes)
        self._cache = cache
        self._transactions = 0
        self._seed = seed
        self.start()

    def start(self) -> None:
        """Begin with empty memory."""
        self._seed += 1
        self.journal = Journal(self.database, f"test-{self._seed}")
        self.caches = CacheBudget(self._cache)
        core = Core(
            config=self._config,
            server_name=ServerName(self._config.server_name),
            signing_key=SigningKey("1", bytes(32)),
            clock=self.process_clock(),
            random=SeededRandom(self._seed),
            database=self.database,
            threaded_reads=ThreadedReads(self.database, InlineWorkers()),
            journal=self.journal,
            caches=self.caches,
            bus=self.bus(),
        )
        self.app = build(core, Runtime(InlineWorkers(), at_once, self.outside()), {})
        result_of(_started(self.journal))
        self.http = Client(self.app.site("client"))

    def bus(self) -> Bus:
        """What connects it with other nodes: there are none."""
        return OneNode()

    def process_clock(self) -> Clock:
        """The clock of the program that starts."""
        return self.clock

    def outside(self) -> Outside:
        """What it reaches of the outside: nothing."""
        return Outside(self.clock.twisted, None, no_services)

    def person(self, name: str) -> "Syncer":
        """Somebody with a new account."""
        body = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        reply = self.http.post(f"{V3}/register", body)
        assert reply.status == 200, reply.text
        return Syncer(self, reply.json)

    def people(self, *names: str) -> "list[Syncer]":
        """Several."""
        return [self.person(name) for name in names]

    def next_transaction(self) -> str:
        """A transaction ID that was not used yet."""
        self._transactions += 1
        return f"t{self._transactions}"

    def forget(self) -> None:
        """Let caches drop nearly all that they hold."""
        limit, self.caches.limit = self.caches.limit, 8_000
        self.caches.cache("nothing", lambda value: 1).put("", "")
        self.caches.limit = limit

    def turn(self, seconds: float = 0.0) -> None:
        """Let the reactor have a few turns."""
        self.clock.advance(seconds)
        for _ in range(3):
            self.clock.advance(0)


class Syncer(Person):
    """Somebody who syncs. `since` is kept from answer to answer."""

    def __init__(self, site: SyncSite, answer: dict[str, Any]) -> None:
        super().__init__(site, answer)
        self.sync_site = site
        self.token: str = answer["access_token"]
        self.since: str | None = None

    def create(self, **wishes: Any) -> str:
        """Make a room; each a little later, as IDs of rooms are hashes of how they began."""
        self.sync_site.clock.advance(0.001)
        return super().create(**wishes)

    @property
    def here(self) -> Client:
        """The user's client of the site as it runs now."""
        return self.sync_site.http.with_token(self.token)

    def reconnect(self) -> None:
        """Talk to the site as it runs now: it was restarted."""
        self.http = self.here

    def sync(self, since: str | None = None, **query: Any) -> Any:
        """Sync from a token, by default from the last one; not longer than the answer takes."""
        reply = self.try_sync(since or self.since, **query)
        assert reply.status == 200, reply.text
        self.since = reply.json["next_batch"]
        return reply.json

    def first_sync(self, **query: Any) -> Any:
        """Sync as one who knows nothing."""
        self.since = None
        return self.sync(**query)

    def try_sync(self, since: str | None = None, **query: Any) -> Reply:
        """Try to sync."""
        return self.here.get(SYNC, _query(since, query))

    def poll(self, timeout: int = 30_000, **query: Any) -> Pending:
        """Begin a long poll from the last token."""
        return self.here.start("GET", SYNC, None, _query(self.since, {"timeout": timeout, **query}))

    def joined(self, room: str, **query: Any) -> Any:
        """What a sync tells of a room that the user is in; empty if nothing."""
        return self.sync(**query).get("rooms", {}).get("join", {}).get(room, {})

    def receipt(self, room: str, event_id: str, kind: str = "m.read", **body: Any) -> Reply:
        """Send a receipt."""
        return self.here.post(room_path(room, "receipt", kind, event_id), body)

    def put_account_data(self, type_: str, content: Any, room: str | None = None) -> None:
        """Set account data."""
        place = "" if room is None else f"/rooms/{room}"
        reply = self.here.put(f"{V3}/user/{self.user_id}{place}/account_data/{type_}", content)
        assert reply.status == 200, reply.text


def is_empty(answer: Any) -> bool:
    """Whether a sync told nothing but what every answer tells."""
    always = {"next_batch", "device_one_time_keys_count", "device_unused_fallback_key_types"}
    return bool(answer.keys() <= always)


def texts(room: Any) -> list[str]:
    """The texts in the timeline of a room."""
    events = room.get("timeline", {}).get("events", [])
    return [event["content"]["body"] for event in events if "body" in event["content"]]


def state_of(room: Any, key: str = "state") -> dict[tuple[str, str], Any]:
    """The state that goes with a timeline."""
    return {(event["type"], event["state_key"]): event for event in room[key]["events"]}


def _query(since: str | None, query: dict[str, Any]) -> dict[str, Any]:
    given = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in query.items()}
    return {"since": since, **given} if since else given


async def _started(journal: Journal) -> None:
    await journal.start()


async def no_services(name: str) -> list[Any]:
    return []
