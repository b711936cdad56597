"""Users of this server who had themselves erased: their events are shown whole only to who was there.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
"""

from collections.abc import Set as AbstractSet

from homeserver.protocol.events.redaction import redacted
from homeserver.protocol.identifiers import UserID
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.users import Users


class ErasedUsers:
    """All of them; they are few, and read once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._users: set[UserID] = set()
        self._read = False

    async def all(self) -> AbstractSet[UserID]:
        """Their IDs."""
        if not self._read:
            self._users.update(await self._database.read(lambda tx: Users(tx).erased()))
            self._read = True
        return self._users

    def look_again(self) -> None:
        """There may be more, by other nodes."""
        self._read = False

    def add(self, user_id: UserID) -> None:
        """Another one."""
        self._users.add(user_id)


def without_content(stored: StoredEvent) -> StoredEvent:
    """The event as those see it who were not there; the stored one stays as it is."""
    shown = StoredEvent(
        redacted(stored.event),
        stored.nid,
        received_ts=stored.received_ts,
        pos=stored.pos,
        ordering=stored.ordering,
        outbound=stored.outbound,
        status=stored.status,
        state_before=stored.state_before,
        state_after=stored.state_after,
        redacted_by=stored.redacted_by,
    )
    shown.shared_unsigned = b""
    return shown
