"""Asking other servers in a room for events by date.

https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1timestamp_to_eventroomid
"""

from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred, DeferredList

from federation.client.federation_client import FederationClient
from federation.wire.events import TIMESTAMP_TO_EVENT, Moment
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import EventID, RoomID, ServerName, is_event_id
from homeserver.services.rooms.event_times import Direction
from homeserver.services.rooms.remote_servers import RemoteServers

MAX_SERVERS: Final = 3


@dataclass(frozen=True, slots=True)
class RemoteTimes:
    """Asks a few servers at once."""

    client: FederationClient
    servers: RemoteServers

    async def find(self, room_id: RoomID, ts: int, direction: Direction) -> list[tuple[EventID, int]]:
        """The events that they find, with their times."""
        servers = (await self.servers.members(room_id))[:MAX_SERVERS]
        asked = [Deferred.fromCoroutine(self._ask(server, room_id, ts, direction)) for server in servers]
        answers = await DeferredList(asked, consumeErrors=True)
        return [found for ok, found in answers if ok and found is not None]

    async def _ask(
        self, server: ServerName, room_id: RoomID, ts: int, direction: Direction
    ) -> tuple[EventID, int] | None:
        try:
            found = await self.client.request(
                TIMESTAMP_TO_EVENT, server, path={"room_id": room_id}, query=Moment(ts, direction)
            )
        except MatrixError:
            return None
        if not is_event_id(found.event_id):
            return None
        return EventID(found.event_id), found.origin_server_ts
