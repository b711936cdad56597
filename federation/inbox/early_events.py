"""Events that came before what they build on, while it could not be had: they are kept, and tried again.

Mostly their server could not be asked at that moment, and sends them never again. As soon as an event comes that one
of them waits for, it has its turn; otherwise the servers in the room are asked one after the other, less and less
often, and for half a day at most. How many are kept is bounded for each server, so that none can fill our disk.
"""

from typing import Final

import structlog
from twisted.internet.defer import CancelledError

from federation.inbox.rooms import Rooms
from homeserver.clock import Clock
from homeserver.services.rooms.remote_servers import RemoteServers

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 10.0


class EarlyEventRetries:
    """Gives them their turns."""

    def __init__(self, rooms: Rooms, servers: RemoteServers, clock: Clock) -> None:
        self._rooms = rooms
        self._servers = servers
        self._clock = clock

    async def keep_trying(self) -> None:
        """Try those whose time has come, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            try:
                await self.try_due()
            except CancelledError:
                raise
            except Exception:
                log.exception("early events could not be tried again")

    async def try_due(self) -> None:
        """Try those whose time has come, once. The first time their own server is asked, then the others in turn."""
        await self._rooms.early.load()
        for early in await self._rooms.early.take_due():
            others = [
                server for server in await self._servers.members(early.room_id) if server != early.origin
            ]
            servers = [early.origin, *others]
            await self._rooms.try_again(servers[(early.attempts - 1) % len(servers)], early)
