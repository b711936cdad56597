"""Through which servers a room may be entered."""

from collections.abc import Sequence

from homeserver.protocol.identifiers import RoomID, ServerName, UserID, server_of
from storage.database import Database
from storage.tables.memberships import Memberships
from storage.tables.rooms import Rooms
from storage.transaction import Transaction


class JoinCandidates:
    """Finds other servers that are, or should be, in a room."""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

    async def servers(
        self, room_id: RoomID, user_id: UserID, via: Sequence[ServerName]
    ) -> Sequence[ServerName]:
        """That of whoever invited the user, those that were named, then those that this server knows of."""
        inviter, known = await self._database.read(lambda tx: _known(tx, room_id, user_id))
        servers = dict.fromkeys((*inviter, *via, *known))
        servers.pop(self._server_name, None)
        return tuple(servers)


def _known(
    tx: Transaction, room_id: RoomID, user_id: UserID
) -> tuple[tuple[ServerName, ...], list[ServerName]]:
    row = Memberships(tx).find(room_id, user_id)
    inviter = (server_of(row.sender),) if row is not None and row.membership == "invite" else ()
    return inviter, sorted(Rooms(tx).servers(room_id))
