"""Construction of what rooms offer beyond talking in them, on top of rooms, accounts and syncing."""

from dataclasses import dataclass

from homeserver.app.core import Core
from homeserver.app.wiring_accounts import AccountsArea
from homeserver.app.wiring_rooms import Rooms
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.client_api.upgrade import UpgradeApi
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.services.rooms.founding import Founding
from homeserver.services.rooms.member_contents import MemberContents
from homeserver.services.rooms.successors import Successors
from homeserver.services.rooms.upgrading import Upgrading


@dataclass(frozen=True, slots=True)
class MoreRooms:
    """The endpoints for clients."""

    endpoints: list[BoundEndpoint]


def build_more_rooms(core: Core, rooms_core: RoomsCore, rooms: Rooms, accounts: AccountsArea) -> MoreRooms:
    """Construct them; after the rooms, whose heads must follow the journal first."""
    return MoreRooms(endpoints=collect(UpgradeApi(_upgrading(core, rooms_core, rooms, accounts))))


def _upgrading(core: Core, rooms_core: RoomsCore, rooms: Rooms, accounts: AccountsArea) -> Upgrading:
    name = core.server_name
    successors = Successors(
        core.database, core.journal, rooms.actions, accounts.account_data, accounts.push_rules
    )
    founding = Founding(name, core.clock, core.random, rooms_core.writer, rooms_core.local_events)
    contents = MemberContents(core.database, name)
    return Upgrading(rooms.access, rooms.actions, founding, contents, successors)
