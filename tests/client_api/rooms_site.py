"""A site that serves accounts and rooms, and people who talk to each other on it."""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from homeserver.app.core import Core
from homeserver.app.wiring_accounts import build_accounts
from homeserver.app.wiring_rooms import Remotes, build_rooms
from homeserver.app.wiring_rooms_core import build_rooms_core
from homeserver.http.metrics import Metrics
from homeserver.http.pipeline import Pipeline
from homeserver.http.rate_limits import RateLimits
from homeserver.http.router import Router
from homeserver.http.site import Site
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey
from storage.caches import CacheBudget
from storage.database import Database
from storage.journal import Journal
from storage.threaded import ThreadedReads
from storage.workers import InlineWorkers
from tests.client_api.accounts_site import PASSWORD
from tests.harness.client import Client, Reply
from tests.harness.memory import SeededRandom, SteppingClock, at_once, result_of
from tests.harness.settings import configured

V3 = "/_matrix/client/v3"


class RoomsSite:
    """Accounts and rooms behind real HTTP, with a clock that stands still unless it is moved."""

    def __init__(
        self,
        database: Database,
        changes: Mapping[str, object] | None = None,
        remotes: Remotes | None = None,
    ) -> None:
        self.config = configured(changes)
        self.clock = SteppingClock()
        self.database = database
        self.journal = Journal(database, "test")
        result_of(_started(self.journal))
        core = Core(
            config=self.config,
            server_name=ServerName(self.config.server_name),
            signing_key=SigningKey("1", bytes(32)),
            clock=self.clock,
            random=SeededRandom(),
            database=database,
            threaded_reads=ThreadedReads(database, InlineWorkers()),
            journal=self.journal,
            caches=CacheBudget(10_000_000),
        )
        limits = RateLimits(
            self.config.rate_limits.by_name, self.clock, enabled=self.config.rate_limits.enabled
        )
        self.accounts = build_accounts(core, InlineWorkers(), limits)
        self.rooms_core = build_rooms_core(core)
        self.rooms = build_rooms(core, self.rooms_core, remotes)
        self.accounts.profiles.when_changed(self.rooms.profile_changes.changed)
        metrics = Metrics()
        pipeline = Pipeline(
            authenticators=self.accounts.authentication.authenticators(),
            limits=limits,
            body_limits={"default": 1_000_000},
            metrics=metrics,
            clock=self.clock,
            random=core.random,
            off_reactor=at_once,
        )
        router = Router(pipeline.routes([*self.accounts.endpoints, *self.rooms.endpoints]))
        self.http = Client(Site(router, pipeline, metrics, self.clock))
        self._transactions = 0

    def person(self, name: str) -> "Person":
        """Somebody with a new account."""
        body = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        reply = self.http.post(f"{V3}/register", body)
        assert reply.status == 200, reply.text
        return Person(self, reply.json)

    def people(self, *names: str) -> "list[Person]":
        """Several."""
        return [self.person(name) for name in names]

    def next_transaction(self) -> str:
        """A transaction ID that was not used yet."""
        self._transactions += 1
        return f"t{self._transactions}"


class PeoplesSite(Protocol):
    """What people need of a site."""

    http: Client

    def next_transaction(self) -> str:
        """A transaction ID that was not used yet."""


class Person:
    """A user and what they do. Methods check that it worked; `http` is for what may not."""

    def __init__(self, site: PeoplesSite, answer: dict[str, Any]) -> None:
        self.site = site
        self.user_id: str = answer["user_id"]
        self.device_id: str = answer["device_id"]
        self.http = site.http.with_token(answer["access_token"])

    def create(self, **wishes: Any) -> str:
        """Make a room; its ID."""
        return str(_json(self.http.post(f"{V3}/createRoom", wishes))["room_id"])

    def public_room(self, **wishes: Any) -> str:
        """Make a room that anybody may join."""
        return self.create(preset="public_chat", **wishes)

    def join(self, room: str, **body: Any) -> str:
        """Join a room by ID or alias."""
        return str(_json(self.http.post(f"{V3}/join/{quote(room, safe='')}", body))["room_id"])

    def try_join(self, room: str, **body: Any) -> Reply:
        """Try to join."""
        return self.http.post(f"{V3}/join/{quote(room, safe='')}", body)

    def invite(self, room: str, other: "Person", **body: Any) -> None:
        """Invite somebody."""
        _json(self.try_act("invite", room, user_id=other.user_id, **body))

    def act(self, action: str, room: str, **body: Any) -> None:
        """POST to one of the endpoints of membership."""
        _json(self.try_act(action, room, **body))

    def try_act(self, action: str, room: str, **body: Any) -> Reply:
        """The same, if it may fail."""
        return self.http.post(room_path(room, action), body)

    def say(self, room: str, text: str, **content: Any) -> str:
        """Send a text; the event's ID."""
        return str(_json(self.try_say(room, text, **content))["event_id"])

    def try_say(self, room: str, text: str, txn: str | None = None, **content: Any) -> Reply:
        """Try to send a text."""
        body = {"msgtype": "m.text", "body": text, **content}
        txn = txn or self.site.next_transaction()
        return self.http.put(room_path(room, "send", "m.room.message", txn), body)

    def set_state(self, room: str, event_type: str, content: Any, state_key: str = "") -> str:
        """Set an entry of the room's state; the event's ID."""
        return str(_json(self.try_set_state(room, event_type, content, state_key))["event_id"])

    def try_set_state(self, room: str, event_type: str, content: Any, state_key: str = "") -> Reply:
        """Try to set state."""
        return self.http.put(room_path(room, "state", event_type, state_key), content)

    def state(self, room: str, event_type: str, state_key: str = "") -> Any:
        """The content of a state event."""
        return _json(self.try_state(room, event_type, state_key))

    def try_state(self, room: str, event_type: str, state_key: str = "", **query: str) -> Reply:
        """Try to read a state event."""
        return self.http.get(room_path(room, "state", event_type, state_key), query)

    def whole_state(self, room: str) -> dict[tuple[str, str], Any]:
        """All state events by type and state key."""
        events = _json(self.http.get(room_path(room, "state")))
        return {(event["type"], event["state_key"]): event for event in events}

    def membership(self, room: str, other: "Person") -> str:
        """Somebody's membership, as this user sees it."""
        return str(self.state(room, "m.room.member", other.user_id)["membership"])

    def event(self, room: str, event_id: str) -> Any:
        """One event."""
        return _json(self.try_event(room, event_id))

    def try_event(self, room: str, event_id: str) -> Reply:
        """Try to read an event."""
        return self.http.get(room_path(room, "event", event_id))

    def page(self, room: str, direction: str = "b", **query: str | int) -> Any:
        """A page of history."""
        return _json(self.try_page(room, direction, **query))

    def try_page(self, room: str, direction: str = "b", **query: str | int) -> Reply:
        """Try to read a page; `from_` is `from`."""
        named = {name.rstrip("_"): value for name, value in query.items()}
        return self.http.get(room_path(room, "messages"), {"dir": direction, **named})

    def texts(self, room: str, direction: str = "b", **query: str | int) -> list[str]:
        """The texts on a page of history."""
        chunk = self.page(room, direction, **query)["chunk"]
        return [event["content"]["body"] for event in chunk if "body" in event["content"]]

    def redact(self, room: str, event_id: str, **body: Any) -> str:
        """Redact an event; the redaction's ID."""
        return str(_json(self.try_redact(room, event_id, **body))["event_id"])

    def try_redact(self, room: str, event_id: str, **body: Any) -> Reply:
        """Try to redact an event."""
        return self.http.put(room_path(room, "redact", event_id, self.site.next_transaction()), body)


def room_path(room: str, *segments: str) -> str:
    """The path of an endpoint under a room."""
    return "/".join([f"{V3}/rooms", *(quote(segment, safe="") for segment in (room, *segments))])


def _json(reply: Reply) -> Any:
    assert reply.status == 200, f"{reply.status} {reply.text}"
    return reply.json


async def _started(journal: Journal) -> None:
    await journal.start()
