"""Which servers an event goes to: those in its room at its position, and those whose users it concerns."""

from collections.abc import Sequence

from homeserver.protocol.identifiers import RoomID, ServerName
from homeserver.services.rooms.persist import RoomCommit, outside_server
from homeserver.services.rooms.stored_event import StoredEvent
from storage.caches import CacheBudget
from storage.database import Database
from storage.tables.outbox import Outbox, RoomServer


class Recipients:
    """Knows the servers of the rooms that are active."""

    def __init__(self, server_name: ServerName, database: Database, caches: CacheBudget) -> None:
        self._server_name = server_name
        self._database = database
        self._servers = caches.cache("room_servers", lambda servers: 200 + 180 * len(servers))

    def changed(self, commit: RoomCommit) -> None:
        """Note a commit: servers may have come or gone."""
        if commit.whole is not None:
            self._servers.pop(commit.head.room_id)
            return
        for change in commit.changes:
            if change.key[0] == "m.room.member":
                was, now = change.memberships
                if (was == "join") != (now == "join"):
                    self._servers.pop(commit.head.room_id)
                    return

    def changed_elsewhere(self, room_id: RoomID) -> None:
        """Another node wrote to a room: servers may have come or gone."""
        self._servers.pop(room_id)

    def forget(self) -> None:
        """Others wrote, it is not known where."""
        self._servers.clear()

    async def of(
        self, commit: RoomCommit, events: Sequence[StoredEvent]
    ) -> list[tuple[StoredEvent, set[ServerName]]]:
        """The servers that each event goes to."""
        first = events[0].pos or 0
        servers = await self._of_room(commit.head.room_id, first - 1)
        extra: dict[int, set[ServerName]] = {}
        for change in commit.changes:
            outside = outside_server(change, self._server_name)
            if outside is not None:
                extra.setdefault(change.cause.nid, set()).add(outside)
        return [
            (stored, self._at(servers, stored.pos or 0) | extra.get(stored.nid, set())) for stored in events
        ]

    async def at(self, room_id: RoomID, pos: int) -> set[ServerName]:
        """The servers that were in a room when the event at a position came."""
        return self._at(await self._database.read(lambda tx: Outbox(tx).servers(room_id, pos - 1)), pos)

    async def present(self, room_id: RoomID) -> set[ServerName]:
        """The other servers that are in a room now."""
        servers = await self._of_room(room_id, 0)
        return {each.server for each in servers if each.left_pos is None} - {self._server_name}

    async def _of_room(self, room_id: RoomID, left_after: int) -> list[RoomServer]:
        servers: list[RoomServer] | None = self._servers.get(room_id)
        if servers is None:
            servers = await self._database.read(lambda tx: Outbox(tx).servers(room_id, left_after))
            self._servers.put(room_id, servers)
        return servers

    def _at(self, servers: Sequence[RoomServer], pos: int) -> set[ServerName]:
        return {
            each.server
            for each in servers
            if each.joined_pos < pos and (each.left_pos is None or pos <= each.left_pos)
        } - {self._server_name}
