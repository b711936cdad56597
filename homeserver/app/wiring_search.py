"""Construction of the searches for messages and for users, and of what keeps their indexes."""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.app.core import Core
from homeserver.app.wiring_rooms import Rooms
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.background.following import Following
from homeserver.client_api.search import SearchApi
from homeserver.client_api.user_directory import UserDirectoryApi
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.services.rooms.shown_state import ShownState
from homeserver.services.search.finding import Finder
from homeserver.services.search.index import MessageIndex
from homeserver.services.search.rooms import SearchedRooms
from homeserver.services.search.search import Search
from homeserver.services.search.surroundings import Surroundings
from homeserver.services.search.versions import Versions
from homeserver.services.user_directory import UserDirectory
from homeserver.services.user_directory_upkeep import UserDirectoryUpkeep
from storage.leases import Leases


@dataclass(frozen=True, slots=True)
class SearchArea:
    """The endpoints, and the work behind them."""

    index: MessageIndex
    directory_upkeep: UserDirectoryUpkeep
    leases: Leases
    following: Sequence[Following]
    endpoints: list[BoundEndpoint]

    def start(self) -> None:
        """Begin to follow the journal."""
        for each in self.following:
            each.start()

    async def stop(self) -> None:
        """Follow no more."""
        for each in self.following:
            await each.stop()
        await self.leases.stop()


def build_search(core: Core, rooms_core: RoomsCore, rooms: Rooms) -> SearchArea:
    """Construct the area; what is switched off has no endpoint and no work."""
    config = core.config
    leases = Leases(core.database, core.clock, core.holder("searches"))
    index = MessageIndex(core.database, core.journal, core.clock)
    upkeep = UserDirectoryUpkeep(core.server_name, core.database, core.journal)
    endpoints: list[object] = []
    following = []
    if config.search.enabled:
        endpoints.append(_search(core, rooms_core, rooms))
        following.append(Following("search", index.step, leases, core.journal, core.clock))
    if config.user_directory.enabled:
        everybody = config.user_directory.search_all_users
        endpoints.append(UserDirectoryApi(UserDirectory(core.database, upkeep, everybody=everybody)))
        following.append(Following("user directory", upkeep.step, leases, core.journal, core.clock))
    return SearchArea(index, upkeep, leases, following, collect(*endpoints))


def _search(core: Core, rooms_core: RoomsCore, rooms: Rooms) -> SearchApi:
    database, events, states = core.database, rooms_core.events, rooms_core.states
    shown_state = ShownState(states, events)
    search = Search(
        SearchedRooms(database, rooms_core.heads, states),
        Finder(database, Versions(database, events, rooms.access)),
        Surroundings(rooms.access, rooms.history, shown_state, states),
    )
    return SearchApi(search, rooms.renderer, core.config.search.max_results)
