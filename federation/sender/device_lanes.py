"""Durable lanes of the outgoing post: messages to devices, and news of devices. Neither makes the other wait.

https://spec.matrix.org/v1.19/server-server-api/#end-to-end-encryption
"""

from dataclasses import dataclass
from functools import partial

import orjson

from federation.sender.mailbox import OwedEdus
from homeserver.protocol.identifiers import ServerName
from homeserver.services.device_list_exchange import DeviceListExchange
from storage.database import Database
from storage.tables.to_device import ToDevice


@dataclass(frozen=True, slots=True)
class ToDeviceLane:
    """`m.direct_to_device`, in the order in which the messages were sent."""

    database: Database

    async def owed(self, destination: ServerName, limit: int) -> OwedEdus | None:
        """The next messages."""
        rows = await self.database.read(lambda tx: ToDevice(tx).outgoing(destination, limit))
        if not rows:
            return None
        last = rows[-1]

        async def delivered() -> None:
            await self.database.transact(lambda tx: ToDevice(tx).sent(destination, last.pos, last.part))

        edus = [{"edu_type": "m.direct_to_device", "content": orjson.loads(row.json)} for row in rows]
        return OwedEdus(edus, delivered)

    async def destinations(self) -> list[ServerName]:
        """Servers that are owed something of this lane or the next one."""
        return await self.database.read(lambda tx: ToDevice(tx).destinations())


@dataclass(frozen=True, slots=True)
class DeviceListLane:
    """`m.device_list_update` and `m.signing_key_update`."""

    exchange: DeviceListExchange

    async def owed(self, destination: ServerName, limit: int) -> OwedEdus | None:
        """The next news."""
        while limit > 0:
            owed, edus = await self.exchange.owed(destination, limit)
            if not owed:
                return None
            if edus:
                return OwedEdus(edus, partial(self.exchange.delivered, destination, owed))
            await self.exchange.delivered(destination, owed)
        return None
