"""Construction of what rooms offer beyond talking in them, on top of rooms, accounts and syncing."""

from dataclasses import dataclass

from federation.server_api.event_times import EventTimesApi as ServerEventTimesApi
from federation.server_api.spaces import SpacesApi as ServerSpacesApi
from federation.server_api.third_party_invites import ThirdPartyInvitesApi
from homeserver.app.core import Core
from homeserver.app.wiring_accounts import AccountsArea
from homeserver.app.wiring_federation import SharedRooms
from homeserver.app.wiring_federation_transport import FederationTransport
from homeserver.app.wiring_rooms import Rooms
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.app.wiring_server_notices import server_notice_endpoints
from homeserver.app.wiring_sync import SyncArea
from homeserver.client_api.event_times import EventTimesApi
from homeserver.client_api.mutual_rooms import MutualRoomsApi
from homeserver.client_api.old_sync import OldSyncApi
from homeserver.client_api.reporting import ReportingApi
from homeserver.client_api.spaces import SpacesApi
from homeserver.client_api.upgrade import UpgradeApi
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.services.old_sync.initial import InitialSync, RoomViews
from homeserver.services.old_sync.stream import EventStream, Watching
from homeserver.services.reports import Reports
from homeserver.services.rooms.event_times import EventTimes
from homeserver.services.rooms.founding import Founding
from homeserver.services.rooms.hierarchy import Hierarchy
from homeserver.services.rooms.member_contents import MemberContents
from homeserver.services.rooms.mutual_rooms import MutualRooms
from homeserver.services.rooms.remote_cards import RemoteCards
from homeserver.services.rooms.remote_servers import RemoteServers
from homeserver.services.rooms.remote_times import RemoteTimes
from homeserver.services.rooms.room_cards import RoomCards
from homeserver.services.rooms.room_summaries import RoomSummaries
from homeserver.services.rooms.successors import Successors
from homeserver.services.rooms.upgrading import Upgrading


@dataclass(frozen=True, slots=True)
class MoreRooms:
    """The endpoints for clients, and those for other servers."""

    endpoints: list[BoundEndpoint]
    federation_endpoints: list[BoundEndpoint]


@dataclass(frozen=True, slots=True)
class Below:
    """The areas that these build on. ``federates``: whether the server takes part in rooms of others."""

    rooms_core: RoomsCore
    rooms: Rooms
    accounts: AccountsArea
    sync: SyncArea
    transport: FederationTransport
    shared: SharedRooms
    federates: bool


def build_more_rooms(core: Core, below: Below) -> MoreRooms:
    """Construct them; after the rooms, whose heads must follow the journal first."""
    name, database, rooms, rooms_core = core.server_name, core.database, below.rooms, below.rooms_core
    cards = RoomCards(database, rooms_core.heads, rooms_core.states, rooms_core.events)
    remote = _remote_cards(core, below, cards) if below.federates else None
    hierarchy = Hierarchy(cards, remote)
    times = _event_times(core, below)
    return MoreRooms(
        endpoints=[
            *server_notice_endpoints(core, below.accounts, rooms_core, rooms),
            *collect(
                UpgradeApi(_upgrading(core, rooms_core, rooms, below.accounts)),
                _old_sync(core, rooms_core, rooms, below.sync),
                ReportingApi(Reports(name, database, rooms.access, core.clock)),
                MutualRoomsApi(MutualRooms(database)),
                EventTimesApi(times),
                SpacesApi(hierarchy, RoomSummaries(name, database, cards, rooms.aliases, remote)),
            ),
        ],
        federation_endpoints=collect(
            ServerEventTimesApi(below.shared.access, times),
            ServerSpacesApi(below.shared.access, hierarchy),
            *_third_party(core, below),
        ),
    )


def _third_party(core: Core, below: Below) -> list[ThirdPartyInvitesApi]:
    invites = below.rooms.third_party_invites
    if invites is None:
        return []
    return [ThirdPartyInvitesApi(core.server_name, below.shared.access, invites)]


def _remote_cards(core: Core, below: Below, cards: RoomCards) -> RemoteCards:
    servers = RemoteServers(core.server_name, core.database, below.rooms_core.events)
    return RemoteCards(below.transport.client, servers, cards, core.database, core.caches, core.clock)


def _event_times(core: Core, below: Below) -> EventTimes:
    events, access = below.rooms_core.events, below.rooms.access
    if not below.federates:
        return EventTimes(core.database, access, events)
    servers = RemoteServers(core.server_name, core.database, events)
    others = RemoteTimes(below.transport.client, servers)
    return EventTimes(core.database, access, events, below.shared.remotes.backfill, others.find)


def _old_sync(core: Core, rooms_core: RoomsCore, rooms: Rooms, sync: SyncArea) -> OldSyncApi:
    views = RoomViews(
        rooms.access,
        rooms.history,
        rooms_core.states,
        rooms_core.events,
        rooms.renderer,
        rooms_core.partial,
    )
    watching = Watching(core.clock, core.journal, sync.notifier, sync.following, sync.here)
    return OldSyncApi(
        InitialSync(core.database, core.journal, views, sync.here),
        EventStream(core.database, views, watching),
    )


def _upgrading(core: Core, rooms_core: RoomsCore, rooms: Rooms, accounts: AccountsArea) -> Upgrading:
    name = core.server_name
    successors = Successors(
        core.database, core.journal, rooms.actions, accounts.account_data, accounts.push_rules
    )
    rooms.joining.when_entering(successors.entering)
    founding = Founding(name, core.clock, core.random, rooms_core.writer, rooms_core.local_events)
    contents = MemberContents(core.database, name)
    return Upgrading(rooms.access, rooms.actions, founding, contents, successors)
