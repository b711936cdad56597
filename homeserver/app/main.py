"""The running program: database, composition, sockets, and an orderly end."""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from config.config import Config
from homeserver.app.core import Core
from homeserver.app.library_pages import let_go_of_library_pages
from homeserver.app.node_file import NodeFile
from homeserver.app.outside import real_outside
from homeserver.app.runtime import ReactorClock, SystemRandomness, ThreadWorkers
from homeserver.app.signing_key_file import KeyFiles
from homeserver.app.wiring import App, Runtime, build
from homeserver.app.wiring_bus import build_bus
from homeserver.http.listeners import CannotListen, Listeners
from homeserver.http.metrics import ReactorLag
from homeserver.protocol.identifiers import ServerName
from storage.caches import CacheBudget
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.green import GreenWorkers
from storage.journal import Journal, Stream
from storage.leases import free_leases_of
from storage.preparation import prepare_database
from storage.threaded import ThreadedReads
from storage.unusable import Unusable
from storage.workers import InlineWorkers

log = structlog.get_logger(__name__)

GRACE_SECONDS = 4.0
"""How long requests under way may take to end when the program is told to."""
_REVIVE_SECONDS = 1.0
_SETTLED_SECONDS = 2.0
"""When what is only done at the start is done, connections to the database opened and the first requests answered."""
_SWITCH_SECONDS = 0.0005
"""How soon a computing thread lets the reactor go on: with Python's 5 ms each wake-up beside one costs 5 ms."""
_HASH_THREADS = 2
_OTHER_THREADS = 2
_FILE_THREADS = 8
"""For reading and writing files, besides those that wait for work on pictures."""


@dataclass(slots=True)
class _Threads:
    hashing: ThreadWorkers
    others: ThreadWorkers
    files: ThreadWorkers

    def stop(self) -> None:
        self.files.stop()
        self.hashing.stop()
        self.others.stop()


class Server:
    """One node. `run` blocks until it is told to stop, and returns the exit status."""

    def __init__(self, config: Config, keys: KeyFiles, reactor: Any, announce: Callable[[str], None]) -> None:
        self._config = config
        self._keys = keys
        self._reactor = reactor
        self._announce = announce
        self._clock = ReactorClock(reactor)
        self._embedded = None if config.database.dsn else EmbeddedPostgres(config.data_dir)
        self._listeners = Listeners(reactor, self._clock)
        self._threads = _Threads(
            ThreadWorkers(reactor, "password hashing", _HASH_THREADS),
            ThreadWorkers(reactor, "other work", _OTHER_THREADS),
            ThreadWorkers(reactor, "files", _file_threads(config)),
        )
        self._app: App | None = None
        self._node_file: NodeFile | None = None
        self._status = 0
        self._refused: CannotListen | None = None
        self._stopping = False

    def run(self) -> int:
        """Start, serve, stop. Raises CannotListen, and Unusable for a database."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            dsn = self._embedded.start() if self._embedded else str(self._config.database.dsn)
            if self._embedded and not self._embedded.owner:
                raise Unusable(
                    f"another process runs the PostgreSQL in {self._config.data_dir}: a server with one of its own has "
                    "one node. Name a PostgreSQL and a bus to run several (docs/how-to/several-nodes.md)"
                )
            for warning in prepare_database(dsn, datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)):
                log.warning("database", warning=warning)
            self._reactor.callWhenRunning(self._start, dsn)
            self._reactor.run(installSignalHandlers=False)
        finally:
            self._threads.stop()
            if self._embedded:
                self._embedded.stop()
        if self._refused is not None:
            raise self._refused
        return self._status

    def _start(self, dsn: str) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self.stop))
        if self._embedded:
            self._reactor.callLater(_REVIVE_SECONDS, self._revive)
        _ = Deferred.fromCoroutine(self._open(dsn)).addErrback(self._failed)

    async def _open(self, dsn: str) -> None:
        random = SystemRandomness()
        node = random.letters(12)
        database = Database(dsn, GreenWorkers(self._reactor), self._config.database.connections)
        journal = Journal(database, f"{socket.gethostname()}-{os.getpid()}-{random.letters(8)}")
        core = Core(
            config=self._config,
            server_name=ServerName(self._config.server_name),
            signing_key=self._keys.signing_key,
            clock=self._clock,
            random=random,
            database=database,
            threaded_reads=ThreadedReads(Database(dsn, InlineWorkers()), self._threads.others),
            journal=journal,
            caches=CacheBudget(self._config.cache_size_bytes),
            old_keys=self._keys.old_keys,
            node=node,
            bus=build_bus(self._config, self._reactor, random, node),
        )
        threads = self._threads
        runtime = Runtime(threads.hashing, threads.others.run, real_outside(self._reactor), threads.files)
        app = self._app = build(core, runtime, {"database": lambda: _answers(database)})
        await journal.start()
        node_file = self._node_file = NodeFile(self._config.data_dir, node)
        await free_leases_of(database, node_file.dead())
        await app.start()
        _spare_what_stays()
        ReactorLag(self._clock, app.metrics).start()
        self._listeners.open(list(app.bindings(self._config.listeners)))
        for address in self._listeners.addresses:
            log.info("listening", address=address)
            self._announce(address)
        self._reactor.callLater(_SETTLED_SECONDS, let_go_of_library_pages)

    def stop(self) -> None:
        """Stop accepting, answer what was asked, and end."""
        if not self._stopping:
            self._stopping = True
            ending = Deferred.fromCoroutine(self._close()).addErrback(self._failed)
            _ = ending.addBoth(lambda _: self._reactor.stop())

    async def _close(self) -> None:
        app = self._app
        if app is None:
            return
        await self._listeners.close(GRACE_SECONDS, app.closing)
        await app.stop()
        await app.core.journal.drain()
        await app.core.bus.stop()
        if self._node_file is not None:
            self._node_file.release()
        app.core.database.close()
        app.core.threaded_reads.close()

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, CannotListen):
            self._refused = failure.value
        else:
            log.error("the server failed", error=failure.getErrorMessage(), traceback=failure.getTraceback())
        self._status = 1
        if not self._stopping:
            self.stop()

    def _revive(self) -> None:
        if self._embedded and not self._stopping:
            self._embedded.revive()
            self._reactor.callLater(_REVIVE_SECONDS, self._revive)


def _file_threads(config: Config) -> int:
    s3 = config.media.s3
    return config.media.thumbnails.processes + (_FILE_THREADS if s3.bucket is None else s3.connections)


async def _answers(database: Database) -> None:
    await database.read(lambda tx: Stream(tx).position())


def _spare_what_stays() -> None:
    """Let the garbage collector not look again and again at modules and parts that live as long as the program: a look
    at everything stops the reactor for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
