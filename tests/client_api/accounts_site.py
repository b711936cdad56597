"""A site that serves accounts alone, and people who use it."""

from collections import deque
from collections.abc import Callable, Sequence
from time import thread_time
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from homeserver.app.core import Core
from homeserver.app.wiring_accounts import AccountsArea, build_accounts
from homeserver.gateways.mail import Mailer
from homeserver.http.metrics import Metrics
from homeserver.http.pipeline import Pipeline
from homeserver.http.rate_limits import RateLimits
from homeserver.http.router import Router
from homeserver.http.site import Site
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey
from storage.caches import CacheBudget
from storage.connections import Connection
from storage.database import Database
from storage.journal import Journal
from storage.threaded import ThreadedReads
from storage.workers import InlineWorkers
from tests.harness.client import Client, Pending, Reply
from tests.harness.memory import SeededRandom, SteppingClock, at_once, result_of
from tests.harness.settings import configured, sections_of

PASSWORD = "correct horse"

T = TypeVar("T")


class User:
    """Somebody with an account."""

    def __init__(self, site: "AccountsSite", answer: dict[str, Any]) -> None:
        self.user_id: str = answer["user_id"]
        self.device_id: str = answer["device_id"]
        self.token: str = answer["access_token"]
        self.http = site.http.with_token(self.token)


class QueuedWorkers:
    """Does database work when it is told to, one piece at a time: requests overlap as on a busy server."""

    def __init__(self) -> None:
        self._queue: deque[Callable[[], None]] = deque()

    def lane(self, size: int) -> "QueuedWorkers":
        """The same for all."""
        return self

    def run(self, fn: Callable[[], T]) -> Deferred[T]:
        """Put `fn` at the end of the queue."""
        done: Deferred[T] = Deferred()

        def job() -> None:
            _ = InlineWorkers().run(fn).chainDeferred(done)

        self._queue.append(job)
        return done

    def adopt(self, opened: Connection) -> None:
        """Nothing to do."""

    def pause(self, seconds: float) -> None:
        """Time does not pass."""

    def step(self) -> None:
        """Do the next piece."""
        if self._queue:
            self._queue.popleft()()


class TimingWorkers:
    """Hashes passwords at once, and remembers how much time of the processor each took, in seconds."""

    def __init__(self) -> None:
        self.took: list[float] = []

    async def run(self, function: Callable[[], T]) -> T:
        """Run the function."""
        started = thread_time()
        try:
            return function()
        finally:
            self.took.append(thread_time() - started)


class AccountsSite:
    """A server's accounts behind real HTTP, with a clock that stands still."""

    def __init__(
        self,
        database: Database,
        settings: str = "",
        step: Callable[[], None] | None = None,
        mailer: Mailer | None = None,
    ) -> None:
        self.config = configured(sections_of(settings))
        self.clock = SteppingClock()
        self.database = database
        self.journal = Journal(database, "test")
        self._step = step
        self.hashing = TimingWorkers()
        result_of(_started(self.journal), step)
        random = SeededRandom()
        core = Core(
            config=self.config,
            server_name=ServerName(self.config.server_name),
            signing_key=SigningKey("1", bytes(32)),
            clock=self.clock,
            random=random,
            database=database,
            threaded_reads=ThreadedReads(database, InlineWorkers()),
            journal=self.journal,
            caches=CacheBudget(1_000_000),
        )
        limits = RateLimits(
            self.config.rate_limits.by_name, self.clock, enabled=self.config.rate_limits.enabled
        )
        self.area: AccountsArea = build_accounts(core, self.hashing, limits, mailer)
        metrics = Metrics()
        pipeline = Pipeline(
            authenticators=self.area.authentication.authenticators(),
            limits=limits,
            body_limits={"default": 1_000_000},
            metrics=metrics,
            clock=self.clock,
            random=random,
            off_reactor=at_once,
        )
        router = Router(pipeline.routes(self.area.endpoints))
        self.http = Client(Site(router, pipeline, metrics, self.clock), pump=step)

    def register(self, username: str, password: str = PASSWORD, **more: Any) -> User:
        """Make an account, logged in."""
        body = {"username": username, "password": password, "auth": {"type": "m.login.dummy"}, **more}
        reply = self.http.post("/_matrix/client/v3/register", body)
        assert reply.status == 200, reply.text
        return User(self, reply.json)

    def login(self, user: User | str, password: str = PASSWORD, **more: Any) -> User:
        """Log in once more."""
        reply = self.try_login(user.user_id if isinstance(user, User) else user, password, **more)
        assert reply.status == 200, reply.text
        return User(self, reply.json)

    def try_login(self, name: str, password: str = PASSWORD, **more: Any) -> Reply:
        """Ask to log in."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": name},
            "password": password,
            **more,
        }
        return self.http.post("/_matrix/client/v3/login", body)

    def finish(self, pending: Sequence[Pending]) -> None:
        """Do database work until all these requests are answered."""
        while self._step is not None and not all(each.done for each in pending):
            self._step()


def password_auth(user: User, password: str = PASSWORD, **more: Any) -> dict[str, Any]:
    """The `auth` of somebody who knows the password."""
    identifier = {"type": "m.id.user", "user": user.user_id}
    return {"type": "m.login.password", "identifier": identifier, "password": password, **more}


async def _started(journal: Journal) -> None:
    await journal.start()
