"""Taking a deactivated user out of all rooms.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
"""

import structlog

from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.membership import Membership
from storage.database import Database
from storage.tables.memberships import Memberships

log = structlog.get_logger(__name__)

_PRESENT = ("join", "invite", "knock")


class DepartureUnfinished(Exception):
    """The user is not out of all rooms yet."""


class Departure:
    """Leaves room after room. One that cannot be left does not keep the user in the others."""

    def __init__(self, database: Database, membership: Membership) -> None:
        self._database = database
        self._membership = membership

    async def leave_all(self, user_id: UserID) -> None:
        """Leave all rooms, reject all invites, take back all knocks. Raises DepartureUnfinished."""
        who = Requester(user_id, device_id=None, token_id=None)
        failed = 0
        for row in await self._database.read(lambda tx: Memberships(tx).of_user(user_id)):
            if row.membership not in _PRESENT:
                continue
            try:
                await self._membership.leave(who, row.room_id, for_good=True)
            except Exception:
                failed += 1
                log.exception("a deactivated user could not leave a room", user=user_id, room=row.room_id)
        if failed:
            raise DepartureUnfinished(f"{failed} rooms left")
