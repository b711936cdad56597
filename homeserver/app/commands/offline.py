"""What commands need that work on the database beside the running server, or without one."""

import logging
import os
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as StandingClock
from twisted.python.failure import Failure

from config.config import Config
from homeserver.app.commands.failure import CommandFailed
from homeserver.app.runtime import ReactorClock, SystemRandomness
from homeserver.app.wiring_media import MediaTools, build_media_tools
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import ServerName
from homeserver.services.accounts import Accounts
from homeserver.services.destination_standing import DestinationStanding
from homeserver.services.device_lists import DeviceLists
from homeserver.services.devices import Devices
from homeserver.services.encryption_standing import EncryptionStanding
from homeserver.services.last_seen import LastSeen
from homeserver.services.moderation import Moderation
from homeserver.services.passwords import PasswordCosts, Passwords
from homeserver.services.registration_tokens import RegistrationTokens
from homeserver.services.restoration import Restoration
from homeserver.services.rooms.deletion import RoomDeletions
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.notability import Notability
from homeserver.services.rooms.notability_rebuild import NotabilityRebuild
from homeserver.services.rooms.state_history import StateHistory
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.search.index import MessageIndex
from homeserver.services.sessions import Lifetimes, Sessions
from homeserver.services.user_directory_upkeep import UserDirectoryUpkeep
from storage.caches import CacheBudget
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.journal import Journal
from storage.migrate import migrate
from storage.postgres_binaries import EmbeddedError
from storage.workers import InlineWorkers

T = TypeVar("T")

_CACHE_BYTES = 100_000
_EVENT_CACHE_BYTES = 30_000_000


@dataclass(frozen=True, slots=True)
class Offline:
    """What commands do with accounts and with what is derived of other data, and what they read."""

    accounts: Accounts
    moderation: Moderation
    registration_tokens: RegistrationTokens
    message_index: MessageIndex
    media: MediaTools
    user_directory: UserDirectoryUpkeep
    standing: DestinationStanding
    encryption: EncryptionStanding
    restoration: Restoration
    notability: NotabilityRebuild
    state_history: StateHistory
    room_deletions: RoomDeletions


@contextmanager
def offline(config: Config) -> Iterator[Offline]:
    """Open the database of a configuration; our own PostgreSQL is started if the server does not run.

    Raises CommandFailed.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    embedded = None if config.database.dsn else EmbeddedPostgres(config.data_dir)
    try:
        dsn = config.database.dsn or _started(embedded)
        try:
            migrate(dsn)
        except Exception as error:
            raise CommandFailed(f"cannot use the database: {error}") from error
        database = Database(dsn, InlineWorkers())
        try:
            yield _offline(config, database)
        finally:
            database.close()
    finally:
        if embedded is not None:
            embedded.stop()


def finished(work: Coroutine[Deferred[Any], Any, T]) -> T:
    """Run a coroutine that waits for nothing but the database. Raises CommandFailed for what Matrix calls an error."""
    outcome: list[T | Failure] = []
    _ = Deferred.fromCoroutine(work).addBoth(outcome.append)
    if not outcome:
        raise CommandFailed("the work did not come to an end")
    (result,) = outcome
    if not isinstance(result, Failure):
        return result
    error: object = result.value
    if isinstance(error, MatrixError):
        raise CommandFailed(error.message)
    raise error if isinstance(error, Exception) else RuntimeError(repr(error))


def _started(embedded: EmbeddedPostgres | None) -> str:
    if embedded is None:
        raise AssertionError("there is a PostgreSQL or one is configured")
    try:
        return embedded.start()
    except EmbeddedError as error:
        raise CommandFailed(str(error)) from error


def _offline(config: Config, database: Database) -> Offline:
    timers: Any = StandingClock()  # nothing here waits for a time
    clock, random = ReactorClock(timers), SystemRandomness()
    journal = Journal(database, f"command {os.getpid()} {random.letters(8)}")
    lifetimes = Lifetimes(config.sessions.access_token_lifetime_ms, config.sessions.refresh_token_lifetime_ms)
    sessions = Sessions(database, CacheBudget(_CACHE_BYTES).cache("sessions", len), lifetimes, clock, random)
    hashing = config.passwords
    costs = PasswordCosts(hashing.time_cost, hashing.memory_bytes // 1024, hashing.parallelism)
    passwords = Passwords(costs, config.passwords.minimum_length, InlineWorkers(), random)
    devices = Devices(database, journal, sessions, LastSeen(journal, clock))
    name = ServerName(config.server_name)
    accounts = Accounts(name, database, journal, devices, passwords, clock)
    return Offline(
        accounts,
        Moderation(name, database, sessions),
        RegistrationTokens(database, clock, random),
        MessageIndex(database, journal, clock),
        build_media_tools(config, database, clock, random),
        UserDirectoryUpkeep(name, database, journal),
        DestinationStanding(database),
        EncryptionStanding(database),
        Restoration(name, database, journal, DeviceLists(name, database, journal), clock),
        _notability(name, database, threads=config.thread_subscriptions.enabled),
        StateHistory(database),
        RoomDeletions(name, database, clock, random),
    )


def _notability(name: ServerName, database: Database, *, threads: bool) -> NotabilityRebuild:
    caches = CacheBudget(_EVENT_CACHE_BYTES)
    events = EventStore(database, caches)
    states = StateStore(database, events, caches)
    return NotabilityRebuild(database, events, states, Notability(name, events, states, threads=threads))
