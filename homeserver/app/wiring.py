"""The composition root: every area of the program, put together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from config.listeners import Listener
from homeserver import bus
from homeserver.app.core import Core
from homeserver.app.measurements import measure_when_asked
from homeserver.app.outside import Outside
from homeserver.app.wiring_accounts import AccountsArea, build_accounts
from homeserver.app.wiring_delayed_events import DelayedEventsArea, build_delayed_events
from homeserver.app.wiring_e2ee import Encryption, build_e2ee
from homeserver.app.wiring_federation import Federation, SharedRooms, build_federation, build_shared_rooms
from homeserver.app.wiring_federation_transport import FederationTransport, build_federation_transport
from homeserver.app.wiring_mail import mailer_of
from homeserver.app.wiring_media import MediaArea, build_media
from homeserver.app.wiring_nodes import NodesArea, build_nodes
from homeserver.app.wiring_openid import openid_server_endpoints
from homeserver.app.wiring_push import PushArea, PushParts, build_push
from homeserver.app.wiring_room_deletion import RoomDeletionArea, build_room_deletion
from homeserver.app.wiring_rooms import Rooms, build_rooms
from homeserver.app.wiring_rooms_core import RoomsCore, build_rooms_core
from homeserver.app.wiring_rooms_more import Below, MoreRooms, build_more_rooms
from homeserver.app.wiring_search import SearchArea, build_search
from homeserver.app.wiring_sliding_sync import SlidingSyncArea, build_sliding_sync
from homeserver.app.wiring_sync import SyncArea, build_sync
from homeserver.client_api.landing import LandingApi
from homeserver.clock import OffReactor
from homeserver.gateways.media_spool import FileWorkers
from homeserver.http.authentication import Marker
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.http.health import Check, HealthApi
from homeserver.http.listeners import Binding
from homeserver.http.metrics import Metrics, MetricsApi
from homeserver.http.pipeline import Authenticator, Pipeline
from homeserver.http.rate_limits import RateLimits
from homeserver.http.router import Router
from homeserver.http.site import Site
from homeserver.services.media import metrics as media_metrics
from homeserver.services.passwords import HashWorkers
from homeserver.services.rooms.departure import Departure
from storage import metrics as storage_metrics
from storage.workers import InlineWorkers


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs work away from the reactor, and what reaches the outside. Tests bring their own."""

    hash_workers: HashWorkers
    off_reactor: OffReactor
    outside: Outside
    file_workers: FileWorkers = field(default_factory=InlineWorkers)


@dataclass(frozen=True, slots=True)
class App:
    """The program, ready to be started. `endpoints` are by what a listener's `serves` names."""

    core: Core
    accounts: AccountsArea
    rooms_core: RoomsCore
    rooms: Rooms
    sync: SyncArea
    transport: FederationTransport
    federation: Federation
    encryption: Encryption
    sliding_sync: SlidingSyncArea
    searches: SearchArea
    media: MediaArea
    push: PushArea
    delayed_events: DelayedEventsArea
    room_deletion: RoomDeletionArea
    nodes: NodesArea
    metrics: Metrics
    pipeline: Pipeline
    endpoints: Mapping[str, Sequence[BoundEndpoint]]
    _background: list[Deferred[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Begin what works in the background; the database is there."""
        await self.rooms_core.partial.load()
        self.nodes.start()
        self._background.append(await self.transport.start())
        for follower in self.rooms.followers:
            await follower.start()
        if self.core.config.federation.enabled:
            if not self.core.bus.is_shared:
                await self.federation.sender.start()
            await self.federation.start()
        await self.encryption.start()
        self.nodes.send()
        await self.sync.presence_record.start()
        self.accounts.upkeep.start()
        self.sliding_sync.upkeep.start()
        self.searches.start()
        self.media.start()
        self.push.start()
        self.delayed_events.work.start()
        self.room_deletion.work.start()

    def closing(self) -> None:
        """Let whoever waits for news be answered now: the program is about to end."""
        self.sync.closing()

    async def stop(self) -> None:
        """End what works in the background."""
        await self.nodes.stop()
        for follower in self.rooms.followers:
            follower.stop()
        await self.sync.presence_record.stop()
        self.sync.stop()
        self.sliding_sync.upkeep.stop()
        await self.media.stop()
        await self.searches.stop()
        await self.push.stop()
        await self.delayed_events.work.stop()
        await self.room_deletion.work.stop()
        for task in self._background:
            _ = task.addErrback(_trap_cancellation)
            task.cancel()
        await self.encryption.stop()
        await self.federation.stop()
        await self.transport.stop()
        await self.accounts.upkeep.stop()

    def site(self, *serves: str, x_forwarded: bool = False) -> Site:
        """A site that serves these resources, and `/health`."""
        chosen = [each for resource in ("health", *serves) for each in self.endpoints[resource]]
        router = Router(self.pipeline.routes(chosen))
        return Site(router, self.pipeline, self.metrics, self.core.clock, x_forwarded=x_forwarded)

    def bindings(self, listeners: Sequence[Listener]) -> Iterator[Binding]:
        """A site for each listener."""
        for listener in listeners:
            yield Binding(listener, self.site(*listener.serves, x_forwarded=listener.x_forwarded))


def _trap_cancellation(failure: Failure) -> Failure | None:
    return None if isinstance(failure.value, CancelledError) else failure


def build(core: Core, runtime: Runtime, checks: Mapping[str, Check]) -> App:
    """Construct everything; nothing is started. `checks` are what `/health` asks."""
    config, metrics = core.config, _metrics()
    limits = RateLimits(config.rate_limits.by_name, core.clock, enabled=config.rate_limits.enabled)
    accounts = build_accounts(core, runtime.hash_workers, limits, mailer_of(core, runtime.outside))
    rooms_core = build_rooms_core(core)
    transport = build_federation_transport(core, runtime.outside)
    shared_rooms = build_shared_rooms(core, rooms_core, transport, runtime.off_reactor)
    rooms = _rooms(core, accounts, rooms_core, shared_rooms)
    sync = build_sync(core, accounts, rooms_core, rooms)
    below = Below(rooms_core, rooms, accounts, sync, transport, shared_rooms, config.federation.enabled)
    more_rooms = build_more_rooms(core, below)
    federation = build_federation(core, transport, shared_rooms, accounts, rooms, sync)
    encryption = build_e2ee(core, accounts, sync, transport, federation)
    sliding_sync = build_sliding_sync(core, accounts, rooms_core, rooms, sync, encryption)
    searches = build_search(core, rooms_core, rooms)
    media = build_media(core, runtime.file_workers, transport)
    delayed_events = build_delayed_events(core, accounts, rooms, limits)
    room_deletion = build_room_deletion(core, rooms_core, rooms, media)
    parts = PushParts(accounts, rooms_core, rooms, sync, transport.http, runtime.outside)
    push = build_push(core, parts, metrics.registry)
    measure_when_asked(metrics.registry, sync.notifier, federation.sender, searches, rooms_core)
    return App(
        core=core,
        accounts=accounts,
        rooms_core=rooms_core,
        rooms=rooms,
        sync=sync,
        transport=transport,
        federation=federation,
        encryption=encryption,
        sliding_sync=sliding_sync,
        searches=searches,
        media=media,
        push=push,
        delayed_events=delayed_events,
        room_deletion=room_deletion,
        nodes=build_nodes(core, accounts, rooms, federation, encryption, sync),
        metrics=metrics,
        pipeline=_pipeline(core, runtime, limits, metrics, _authenticators(accounts, transport)),
        endpoints={
            **_for_operators(checks, metrics),
            "client": [
                *_for_clients(core, accounts, rooms, more_rooms, sync, encryption, sliding_sync),
                *_endpoints_of(searches, delayed_events, push, media, room_deletion),
            ],
            "federation": _for_servers(core, transport, federation, more_rooms, encryption, media),
        },
    )


def _metrics() -> Metrics:
    metrics = Metrics()
    metrics.registry.register(storage_metrics.REGISTRY)
    metrics.registry.register(media_metrics.REGISTRY)
    metrics.registry.register(bus.REGISTRY)
    return metrics


def _rooms(core: Core, accounts: AccountsArea, rooms_core: RoomsCore, shared: SharedRooms) -> Rooms:
    """The rooms, which follow what becomes of accounts."""
    rooms = build_rooms(core, rooms_core, shared.remotes if core.config.federation.enabled else None)
    accounts.profiles.when_changed(rooms.profile_changes.changed)
    accounts.accounts.when_deactivated(Departure(core.database, rooms.membership).leave_all)
    accounts.accounts.when_erased(rooms.access.erased.add)
    return rooms


class _Area(Protocol):
    @property
    def endpoints(self) -> list[BoundEndpoint]: ...


def _endpoints_of(*areas: _Area) -> Iterator[BoundEndpoint]:
    for area in areas:
        yield from area.endpoints


def _for_clients(core: Core, *areas: _Area) -> Iterator[BoundEndpoint]:
    yield from collect(
        LandingApi(core.server_name, core.config.public_baseurl, core.config.registration.mode)
    )
    yield from _endpoints_of(*areas)


def _for_operators(checks: Mapping[str, Check], metrics: Metrics) -> dict[str, list[BoundEndpoint]]:
    return {"health": collect(HealthApi(checks)), "metrics": collect(MetricsApi(metrics))}


def _for_servers(
    core: Core,
    transport: FederationTransport,
    federation: Federation,
    more_rooms: MoreRooms,
    encryption: Encryption,
    media: MediaArea,
) -> list[BoundEndpoint]:
    if not core.config.federation.enabled:
        return openid_server_endpoints(core)
    return [
        *openid_server_endpoints(core),
        *transport.endpoints,
        *federation.endpoints,
        *more_rooms.federation_endpoints,
        *encryption.federation_endpoints,
        *media.federation_endpoints,
    ]


def _authenticators(accounts: AccountsArea, transport: FederationTransport) -> Mapping[Marker, Authenticator]:
    return {**accounts.authentication.authenticators(), **transport.authenticators}


def _pipeline(
    core: Core,
    runtime: Runtime,
    limits: RateLimits,
    metrics: Metrics,
    authenticators: Mapping[Marker, Authenticator],
) -> Pipeline:
    sizes = core.config.limits
    return Pipeline(
        authenticators=authenticators,
        limits=limits,
        body_limits={
            "default": sizes.request_body_bytes,
            "federation": sizes.federation_request_body_bytes,
            "media": core.config.media.max_upload_bytes,
        },
        metrics=metrics,
        clock=core.clock,
        random=core.random,
        off_reactor=runtime.off_reactor,
    )
