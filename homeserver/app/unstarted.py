"""The whole program, put together and never started: to read its tables of endpoints and measurements."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as StandingClock

from config.config import Config
from federation.client.service_records import ServiceRecord
from homeserver.app.core import Core
from homeserver.app.outside import Outside
from homeserver.app.runtime import ReactorClock, SystemRandomness
from homeserver.app.wiring import App, Runtime, build
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey
from storage.caches import CacheBudget
from storage.database import Database
from storage.journal import Journal
from storage.threaded import ThreadedReads
from storage.workers import InlineWorkers


def unstarted(config: Config) -> App:
    """Construct it. It has no database and no sockets, so that nothing of it can be used but what it declares."""
    standing: Any = StandingClock()
    workers = InlineWorkers()
    database = Database("", workers)
    core = Core(
        config=config,
        server_name=ServerName(config.server_name),
        signing_key=SigningKey("unused", bytes(32)),
        clock=ReactorClock(standing),
        random=SystemRandomness(),
        database=database,
        threaded_reads=ThreadedReads(database, workers),
        journal=Journal(database, "unstarted"),
        caches=CacheBudget(config.cache_size_bytes),
    )
    return build(core, Runtime(workers, _now, Outside(standing, None, _no_records)), {})


def _now(function: Any) -> Deferred[Any]:
    return InlineWorkers().run(function)


async def _no_records(service: str) -> list[ServiceRecord]:
    return []
