"""Construction of what sends delayed events, and of its endpoints."""

from dataclasses import dataclass

from twisted.internet.defer import Deferred

from homeserver.app.core import Core
from homeserver.app.wiring_accounts import AccountsArea
from homeserver.app.wiring_rooms import Rooms
from homeserver.background.delayed_events import DelayedEventsWork
from homeserver.client_api.delayed_events import DelayedEventsApi
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.http.rate_limits import RateLimits
from homeserver.services.delayed_events import KEPT, KEPT_MS
from homeserver.services.due_events import DueEvents
from storage.leases import Leases
from storage.tables.delayed_events import DelayedEvents
from storage.tables.sticky_events import DoubtfulEvents, StickyEvents
from storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class DelayedEventsArea:
    """The endpoints, and the work behind them."""

    work: DelayedEventsWork
    endpoints: list[BoundEndpoint]


def build_delayed_events(
    core: Core, accounts: AccountsArea, rooms: Rooms, limits: RateLimits
) -> DelayedEventsArea:
    """Construct the area. What is sent counts as what its sender sends, whenever that is."""
    database, clock = core.database, core.clock
    due = DueEvents(database, clock, rooms.sending, rooms.actions, limits.bucket("messages"))

    def forget_ended() -> Deferred[int]:
        now = clock.now_ms()
        return database.transact(lambda tx: _forget_ended(tx, now))

    leases = Leases(database, clock, core.holder("delayed events"))
    work = DelayedEventsWork(due, forget_ended, leases, clock)
    rooms.delayed.when_scheduled(work.wake)
    accounts.accounts.when_deactivated(rooms.delayed.forget_user)
    return DelayedEventsArea(work, collect(DelayedEventsApi(rooms.delayed, due)))


def _forget_ended(tx: Transaction, now: int) -> int:
    """What ended long ago, and what is sticky no more."""
    StickyEvents(tx).expire(now)
    DoubtfulEvents(tx).expire(now)
    return DelayedEvents(tx).forget_ended(now - KEPT_MS, KEPT)
