"""Taking guests out of rooms that do not want them any more.

https://spec.matrix.org/v1.19/client-server-api/#guest-access
"""

from collections.abc import Sequence

import structlog

from homeserver.protocol.errors import MatrixError
from homeserver.protocol.events.content import guests_can_join
from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.detached import detach
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.persist import RoomCommit
from storage.database import Database
from storage.journal import Journal, Landed
from storage.tables.memberships import Memberships

log = structlog.get_logger(__name__)

_GUEST_ACCESS = ("m.room.guest_access", "")


class GuestDeparture:
    """Follows changes of `m.room.guest_access`, whoever makes them."""

    def __init__(self, database: Database, journal: Journal, membership: Membership) -> None:
        self._database = database
        self._membership = membership
        journal.listen(self._landed)

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        for _, payload, _ in landed:
            if isinstance(payload, RoomCommit) and _shuts_out_guests(payload):
                room_id = payload.head.room_id
                detach("departure of guests", self._leave(room_id), room=room_id)

    async def _leave(self, room_id: RoomID) -> None:
        """Let our guests leave a room."""
        for user_id in await self._database.read(lambda tx: Memberships(tx).joined_guests(room_id)):
            try:
                await self._membership.leave(Requester(user_id, None, None, is_guest=True), room_id)
            except MatrixError as error:
                log.warning("guest could not leave", room=room_id, user=user_id, error=error.message)


def _shuts_out_guests(commit: RoomCommit) -> bool:
    for change in commit.changes:
        if change.key == _GUEST_ACCESS and change.previous is not None:
            return not guests_can_join(None if change.current is None else change.current.event)
    return False
