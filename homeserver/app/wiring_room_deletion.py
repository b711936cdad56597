"""Construction of what deletes rooms, and of its endpoints."""

from dataclasses import dataclass

from homeserver.admin_api.room_deletion import RoomDeletionApi
from homeserver.app.core import Core
from homeserver.app.wiring_media import MediaArea
from homeserver.app.wiring_rooms import Rooms
from homeserver.app.wiring_rooms_core import RoomsCore
from homeserver.background.room_deletions import RoomDeletionsWork
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.protocol.identifiers import RoomID
from homeserver.services.rooms.deleted_rooms import DeletedRooms
from homeserver.services.rooms.deletion import RoomDeletions
from homeserver.services.rooms.deletion_steps import DeletionSteps
from homeserver.services.rooms.emptying import Emptying
from homeserver.services.rooms.purging import Removal
from storage.leases import Leases


@dataclass(frozen=True, slots=True)
class RoomDeletionArea:
    """The endpoints, and the work behind them."""

    steps: DeletionSteps
    memory: DeletedRooms
    work: RoomDeletionsWork
    endpoints: list[BoundEndpoint]


def build_room_deletion(
    core: Core, rooms_core: RoomsCore, rooms: Rooms, media: MediaArea
) -> RoomDeletionArea:
    """Construct the area."""
    database, clock = core.database, core.clock

    def removal(room_id: RoomID) -> Removal:
        return Removal(room_id, database, rooms_core.heads, rooms_core.events, media.uses, clock)

    emptying = Emptying(database, rooms.membership, rooms.joining, rooms.creation, rooms.sending)
    steps = DeletionSteps(core.server_name, database, emptying, removal, clock)
    leases = Leases(database, clock, core.holder("room deletions"))
    memory = DeletedRooms(database, rooms_core.heads, rooms_core.events)
    work = RoomDeletionsWork(steps, memory, leases, clock)
    deletions = RoomDeletions(core.server_name, database, clock, core.random)
    deletions.when_begun(work.wake)
    return RoomDeletionArea(steps, memory, work, collect(RoomDeletionApi(deletions)))
