"""Construction of pushers, of what finds out what they are owed, and of what pushes it."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from homeserver.app.core import Core
from homeserver.app.measurements import DELIVERY_SECONDS
from homeserver.app.outside import Outside
from homeserver.app.wiring_accounts import AccountsArea
from homeserver.app.wiring_mail import mailer_of
from homeserver.app.wiring_push_mails import PushMailing, build_push_mails
from homeserver.app.wiring_rooms import Rooms
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.app.wiring_sync import SyncArea
from homeserver.background.push_courier import PushCourier
from homeserver.background.push_outbox import PushOutbox
from homeserver.client_api.pushers import PushersApi
from homeserver.gateways.http_client import HttpClient
from homeserver.gateways.push_gateway import PushGateways
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.services.push.badges import Badges
from homeserver.services.push.delivery import Outcome, Post, PushDelivery
from homeserver.services.push.describing import Describer
from homeserver.services.push.failures import PushFailures
from homeserver.services.push.judging import PushJudge
from homeserver.services.push.letters import Letters
from homeserver.services.push.mail_news import MailNews
from homeserver.services.push.owed import PushesOwed
from homeserver.services.push.turns import Turns
from homeserver.services.pushers import PusherLimits, Pushers
from storage.leases import Leases


@dataclass(frozen=True, slots=True)
class PushArea:
    """The endpoints, and the work behind them."""

    owed: PushesOwed
    delivery: PushDelivery
    failures: PushFailures
    courier: PushCourier
    outbox: PushOutbox | None
    mailing: PushMailing | None
    leases: Leases
    sync: SyncArea
    endpoints: list[BoundEndpoint]

    def start(self) -> None:
        """Begin to push, unless that is switched off."""
        if self.outbox is not None:
            self.sync.following.start()  # counts are kept in memory from here on
            self.outbox.start()
            if self.mailing is not None:
                self.mailing.start()

    async def stop(self) -> None:
        """Push no more."""
        if self.outbox is not None:
            await self.outbox.stop()
        if self.mailing is not None:
            await self.mailing.stop()
        await self.leases.stop()

    def measure(self, registry: CollectorRegistry) -> None:
        """Register what is measured of pushes."""
        pushes = Counter("meridian_pushes", "What became of pushes", ["outcome"], registry=registry)
        seconds = Histogram(
            "meridian_push_delivery_seconds",
            "From an event's arrival until the push gateway has it",
            buckets=DELIVERY_SECONDS,
            registry=registry,
        )

        def note(outcome: Outcome, took: float | None) -> None:
            pushes.labels(outcome.value).inc()
            if took is not None:
                seconds.observe(took)

        for outcome in Outcome:
            pushes.labels(outcome.value)
        self.delivery.listen(note)
        mails = Counter("meridian_push_mails", "Mails about unread messages", ["outcome"], registry=registry)
        if self.mailing is not None:
            self.mailing.mails.listen(lambda taken: mails.labels("sent" if taken else "failed").inc())
        for name, text, value in (
            ("lag_positions", "Stream positions not yet looked at for pushes", lambda: self.owed.lag),
            ("pushers_waiting", "Pushers to which something is owed", lambda: len(self.courier)),
            ("failures", "Push gateways and pushers that are left alone", lambda: len(self.failures)),
        ):
            Gauge(f"meridian_push_{name}", text, registry=registry).set_function(value)


@dataclass(frozen=True, slots=True)
class PushParts:
    """What the area is built on."""

    accounts: AccountsArea
    rooms_core: RoomsCore
    rooms: Rooms
    sync: SyncArea
    http: HttpClient
    outside: Outside


def build_push(core: Core, parts: PushParts, registry: CollectorRegistry) -> PushArea:
    """Construct the area; after syncing, whose memory must follow the journal first."""
    config, database, clock = core.config.push, core.database, core.clock
    accounts, rooms_core, rooms, sync = parts.accounts, parts.rooms_core, parts.rooms, parts.sync
    mailer = mailer_of(core, parts.outside)
    mails = mailer is not None and core.config.mail.notifications
    limits = PusherLimits(config.pushers_per_user, config.allow_http, mails)
    pushers = Pushers(database, limits, clock)
    accounts.devices.when_removed(pushers.devices_removed)
    accounts.accounts.when_deactivated(pushers.delete_all)
    judge = PushJudge(sync.evaluation, rooms_core.events, rooms.access)
    owed = PushesOwed(database, core.journal, judge, clock, config.give_up_after_ms)
    failures = PushFailures(database, clock, core.random)
    describer = Describer(database, rooms_core.heads, rooms_core.states, sync.sources.summaries)
    letters = Letters(database, rooms_core.events, describer, include_content=config.include_content)
    post = Post(
        turns=Turns(database, clock),
        gateways=PushGateways(parts.http, allow_http=config.allow_http),
        failures=failures,
        letters=letters,
        badges=Badges(database, sync.sources.unread, rooms_core.events, clock),
    )
    delivery = PushDelivery(database, core.journal, post, clock, config.give_up_after_ms)
    courier = PushCourier(delivery, failures, clock, config.requests_per_gateway)
    leases = Leases(database, clock, core.holder("pushes"))
    outbox = None
    if config.enabled:
        outbox = PushOutbox(owed, courier, failures, leases, database, clock)
        outbox.follow(core.journal)
    mailing = None
    if mailer is not None:
        mailing = build_push_mails(core, mailer, MailNews(database, letters, judge), describer, leases)
    endpoints = [*collect(PushersApi(pushers)), *(() if mailing is None else mailing.endpoints)]
    area = PushArea(owed, delivery, failures, courier, outbox, mailing, leases, sync, endpoints)
    area.measure(registry)
    return area
