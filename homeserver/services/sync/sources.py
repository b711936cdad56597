"""What answers are gathered from."""

from dataclasses import dataclass

from homeserver.clock import Clock
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.sticky_events import StickyEvents
from homeserver.services.sync.gather import Gatherer
from homeserver.services.sync.here import Here
from homeserver.services.sync.lazy_members import LazyMembers
from homeserver.services.sync.live import LiveUser
from homeserver.services.sync.named_members import NamedMembers
from homeserver.services.sync.recent import RecentRooms
from homeserver.services.sync.rendering import RoomRenderer
from homeserver.services.sync.rooms_of_user import RoomsOfUser
from homeserver.services.sync.stripped import StrippedStates
from homeserver.services.sync.summaries import Summaries
from homeserver.services.sync.unread import UnreadCounts
from storage.database import Database


@dataclass(frozen=True, slots=True)
class Sources:
    """The readers of the database, and the memories."""

    clock: Clock
    database: Database
    states: StateStore
    rooms_of_user: RoomsOfUser
    gatherer: Gatherer
    summaries: Summaries
    stripped: StrippedStates
    renderer: RoomRenderer
    lazy_members: LazyMembers
    recent: RecentRooms
    unread: UnreadCounts
    sticky: StickyEvents
    here: Here
    partial: PartialRooms
    named: NamedMembers

    def may_have_changed(self, user: LiveUser, pos: int) -> bool:
        """Whether something durable that concerns the user may have been committed after a position; from memory."""
        if user.membership_pos > pos or user.data_pos > pos:
            return True
        changed = self.recent.changed(user.rooms, pos)
        return changed is None or bool(changed)
