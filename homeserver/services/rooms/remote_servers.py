"""Which servers to ask about a room that this one is not in."""

from collections.abc import Iterable

from homeserver.protocol.identifiers import RoomID, ServerName, UserID, server_of
from homeserver.services.rooms.event_store import EventStore
from storage.database import Database
from storage.tables.memberships import MembershipRow, Memberships
from storage.tables.outside_memberships import OutsideMemberships
from storage.tables.rooms import Rooms
from storage.transaction import Transaction


class RemoteServers:
    """Knows them from what our users had to do with the room."""

    def __init__(self, server_name: ServerName, database: Database, events: EventStore) -> None:
        self._server_name = server_name
        self._database = database
        self._events = events

    async def knowing(
        self, room_id: RoomID, user_id: UserID, via: Iterable[ServerName] = ()
    ) -> list[ServerName]:
        """Servers that probably are in the room, the best first: those that the user names, who invited them,
        who was there last.
        """

        def read(tx: Transaction) -> tuple[list[ServerName], MembershipRow | None, list[ServerName]]:
            return (
                OutsideMemberships(tx).servers(room_id, user_id) or [],
                Memberships(tx).find(room_id, user_id),
                Rooms(tx).servers(room_id),
            )

        known, row, members = await self._database.read(read)
        inviting: list[ServerName] = []
        if row is not None:
            stored = (await self._events.by_nids((row.event_nid,))).get(row.event_nid)
            if stored is not None:
                inviting.append(server_of(stored.event.sender))
        every = dict.fromkeys((*via, *known, *inviting, *members))
        return [server for server in every if server != self._server_name]

    async def members(self, room_id: RoomID) -> list[ServerName]:
        """The other servers in a room that this one is in."""
        servers = await self._database.read(lambda tx: Rooms(tx).servers(room_id))
        return [server for server in servers if server != self._server_name]
