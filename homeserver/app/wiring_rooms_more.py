"""Construction of what rooms offer beyond talking in them, on top of rooms, accounts and syncing."""

from dataclasses import dataclass

from homeserver.app.core import Core
from homeserver.app.wiring_accounts import AccountsArea
from homeserver.app.wiring_rooms import Rooms
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.app.wiring_sync import SyncArea
from homeserver.client_api.old_sync import OldSyncApi
from homeserver.client_api.upgrade import UpgradeApi
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.services.old_sync.initial import InitialSync, RoomViews
from homeserver.services.old_sync.stream import EventStream, Watching
from homeserver.services.rooms.founding import Founding
from homeserver.services.rooms.member_contents import MemberContents
from homeserver.services.rooms.successors import Successors
from homeserver.services.rooms.upgrading import Upgrading


@dataclass(frozen=True, slots=True)
class MoreRooms:
    """The endpoints for clients."""

    endpoints: list[BoundEndpoint]


def build_more_rooms(
    core: Core, rooms_core: RoomsCore, rooms: Rooms, accounts: AccountsArea, sync: SyncArea
) -> MoreRooms:
    """Construct them; after the rooms, whose heads must follow the journal first."""
    return MoreRooms(
        endpoints=collect(
            UpgradeApi(_upgrading(core, rooms_core, rooms, accounts)),
            _old_sync(core, rooms_core, rooms, sync),
        )
    )


def _old_sync(core: Core, rooms_core: RoomsCore, rooms: Rooms, sync: SyncArea) -> OldSyncApi:
    views = RoomViews(rooms.access, rooms.history, rooms_core.states, rooms_core.events, rooms.renderer)
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
