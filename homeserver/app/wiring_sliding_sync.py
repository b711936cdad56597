"""Construction of sliding sync, on what the older sync is made of."""

from dataclasses import dataclass

from homeserver.app.core import Core
from homeserver.app.wiring_accounts import AccountsArea
from homeserver.app.wiring_e2ee import Encryption
from homeserver.app.wiring_rooms import Rooms
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.app.wiring_sync import SyncArea
from homeserver.background.sliding_sync_upkeep import SlidingSyncUpkeep
from homeserver.client_api.sliding_sync import SlidingSyncApi
from homeserver.client_api.sliding_sync_requests import RequestReader
from homeserver.client_api.thread_subscriptions import ThreadSubscriptionsApi
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.services.sliding_sync.answering import Answering
from homeserver.services.sliding_sync.connections import ConnectionStore
from homeserver.services.sliding_sync.extensions import Extensions, Proposed
from homeserver.services.sliding_sync.gather import Readers, SlidingGatherer
from homeserver.services.sliding_sync.rendering import SlidingRenderer
from homeserver.services.sliding_sync.room_list import RoomLists
from homeserver.services.sliding_sync.room_states import SlidingStates
from homeserver.services.sliding_sync.sliding_sync import SlidingSync
from homeserver.services.sliding_sync.sticky import StickyExtension
from homeserver.services.sliding_sync.subscriptions import SubscriptionsExtension
from homeserver.services.sliding_sync.unread_rooms import UnreadRooms
from homeserver.services.sync.room_states import RoomStates
from homeserver.services.sync.timelines import Timelines
from homeserver.services.thread_subscriptions import ThreadSubscriptions


@dataclass(frozen=True, slots=True)
class SlidingSyncArea:
    """Sliding sync."""

    store: ConnectionStore
    upkeep: SlidingSyncUpkeep
    endpoints: list[BoundEndpoint]


def build_sliding_sync(
    core: Core,
    accounts: AccountsArea,
    rooms_core: RoomsCore,
    rooms: Rooms,
    sync: SyncArea,
    encryption: Encryption,
) -> SlidingSyncArea:
    """Construct the area."""
    config, database, sources = core.config.sliding_sync, core.database, sync.sources
    store = ConnectionStore(
        database, core.caches, core.clock, config.connections_per_device, config.connection_lifetime_ms
    )
    readers = _readers(core, rooms_core, rooms, sync)
    subscriptions = _subscriptions(core, accounts, rooms)
    proposed = _proposed(rooms, sync, subscriptions)
    data = accounts.account_data
    extensions = Extensions(database, sources.recent, sync.here, encryption.news, data, proposed)
    answering = Answering(
        RoomLists(database, core.journal, rooms_core.events, sources.recent, core.caches),
        SlidingGatherer(database, readers),
        extensions,
        UnreadRooms(database, sources.recent, sources.unread),
        sync.here,
        rooms_core.partial,
    )
    service = SlidingSync(
        core.journal,
        sync.notifier,
        sync.following,
        sources,
        store,
        answering,
        longest_wait_ms=core.config.limits.sync_timeout_ms,
    )
    limits = (config.max_lists, config.max_subscriptions, config.max_ranges, config.max_required_state)
    return SlidingSyncArea(
        store=store,
        upkeep=SlidingSyncUpkeep(store, core.clock),
        endpoints=collect(
            SlidingSyncApi(service, SlidingRenderer(rooms.renderer), RequestReader(*limits)),
            ThreadSubscriptionsApi(subscriptions),
        ),
    )


def _readers(core: Core, rooms_core: RoomsCore, rooms: Rooms, sync: SyncArea) -> Readers:
    database, states, events, sources = core.database, rooms_core.states, rooms_core.events, sync.sources
    return Readers(
        timelines=Timelines(database, events, rooms.access),
        changes=RoomStates(database, states, events),
        states=SlidingStates(database, states, events),
        stripped=sources.stripped,
        lazy_members=sources.lazy_members,
        named=sources.named,
        events=events,
    )


def _proposed(rooms: Rooms, sync: SyncArea, subscriptions: ThreadSubscriptions | None) -> Proposed:
    sticky = StickyExtension(sync.sources.sticky, rooms.renderer)
    return Proposed(sticky, None if subscriptions is None else SubscriptionsExtension(subscriptions))


def _subscriptions(core: Core, accounts: AccountsArea, rooms: Rooms) -> ThreadSubscriptions | None:
    if not core.config.thread_subscriptions.enabled:
        return None
    subscriptions = ThreadSubscriptions(core.database, core.journal, rooms.access)
    accounts.accounts.when_deactivated(subscriptions.forget_user)
    return subscriptions
