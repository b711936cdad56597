"""Leaving rooms that this server is not in: rejecting an invite, taking back a knock.

For the user it has happened already. The room's servers are told as soon as one of them can be reached, also
after a restart.

https://spec.matrix.org/v1.19/server-server-api/#leaving-rooms-rejecting-invites
"""

from collections.abc import Sequence

import orjson
import structlog
from twisted.internet.defer import CancelledError

from federation.client.errors import RemoteError, Unreachable
from federation.wire.leaving import MAKE_LEAVE, SEND_LEAVE, SEND_LEAVE_V1
from homeserver.clock import Clock
from homeserver.protocol.errors import BadGateway, MatrixError
from homeserver.protocol.identifiers import ServerName
from homeserver.services.rooms.membership_requests import (
    MembershipRequests,
    MembershipWish,
    is_not_understood,
    most_telling,
)
from homeserver.services.rooms.remote_servers import RemoteServers
from storage.database import Database
from storage.tables.outside_memberships import OutsideMemberships

log = structlog.get_logger(__name__)

TRY_AGAIN_S = 600.0


class RemoteLeaving:
    """Tells the servers of rooms that our users have left."""

    def __init__(
        self, database: Database, requests: MembershipRequests, servers: RemoteServers, clock: Clock
    ) -> None:
        self._database = database
        self._requests = requests
        self._servers = servers
        self._clock = clock

    async def leave(self, wish: MembershipWish) -> None:
        """Tell one of the servers now, or owe it to them."""
        servers = await self._servers.knowing(wish.room_id, wish.user_id)
        content = orjson.dumps(wish.content)
        await self._database.transact(
            lambda tx: OutsideMemberships(tx).owe_leave(wish.room_id, wish.user_id, servers, content)
        )
        await self._settle(wish, servers)

    async def keep_trying(self) -> None:
        """Tell those that could not be reached, every now and then, until cancelled."""
        while True:
            try:
                await self.settle_all()
            except CancelledError:
                raise
            except Exception:
                log.exception("owed leaves could not be told")
            await self._clock.sleep(TRY_AGAIN_S)

    async def settle_all(self) -> None:
        """Try once for everything that is owed."""
        for owed in await self._database.read(lambda tx: OutsideMemberships(tx).owed_leaves()):
            wish = MembershipWish(owed.room_id, owed.user_id, orjson.loads(bytes(owed.leave_content)))
            await self._settle(wish, await self._servers.knowing(owed.room_id, owed.user_id))

    async def _settle(self, wish: MembershipWish, servers: Sequence[ServerName]) -> None:
        errors: list[MatrixError] = []
        for server in servers:
            try:
                await self._tell(server, wish)
            except MatrixError as error:
                errors.append(error)
            else:
                errors = []
                break
        if any(isinstance(error, Unreachable) for error in errors):
            return
        if errors:
            log.info("leave refused", room_id=wish.room_id, error=most_telling(errors).message)
        await self._database.transact(lambda tx: OutsideMemberships(tx).remove(wish.room_id, wish.user_id))

    async def _tell(self, server: ServerName, wish: MembershipWish) -> None:
        event = await self._requests.event(MAKE_LEAVE, server, wish)
        path = {"room_id": wish.room_id, "event_id": event.event_id}
        client = self._requests.client
        try:
            await client.request(SEND_LEAVE, server, path=path, body=event.encoded())
        except RemoteError as error:
            if not is_not_understood(error):
                raise BadGateway(error.message) from error
            await client.request(SEND_LEAVE_V1, server, path=path, body=event.encoded())
