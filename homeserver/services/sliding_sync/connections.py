"""Keeps what the connections of clients were told, so that a position is good on any node and after a restart.

With each position that a client may come back with goes one compact record. The one that it came with and the one that
it was answered with are kept: the client may not have got the answer. Connections are bounded in number for a
device and end when they are not used.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.clock import Clock
from homeserver.protocol.errors import UnknownPos
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.sliding_sync.connection import Connection, Sent
from homeserver.services.sliding_sync.model import SlidingRequest
from storage.caches import CacheBudget
from storage.database import Database
from storage.tables.sliding_sync import Connections as StoredConnections
from storage.transaction import Transaction

TOUCH_EVERY_MS: Final = 24 * 3600 * 1000
"""So often at most it is noted that a connection is in use."""
MAX_BYTES: Final = 4 * 1024 * 1024
"""What a record may take. Rooms beyond it are told anew."""

Name = tuple[UserID, str, str]
"""A user, their device (empty for none), and the connection's name."""


@dataclass(slots=True)
class Held:
    """A record and its number. ``answered`` is the request that was answered with it, if that is known."""

    id: int
    connection: Connection
    answered: SlidingRequest | None = None


class ConnectionStore:
    """Reads and writes records; the latest are also in memory."""

    def __init__(
        self, database: Database, caches: CacheBudget, clock: Clock, limit: int, lifetime_ms: int
    ) -> None:
        """At most ``limit`` connections of a device are kept, and none that was not used for ``lifetime_ms``."""
        self._database = database
        self._clock = clock
        self._limit = limit
        self._lifetime_ms = lifetime_ms
        self._held = caches.cache("sliding_connections", lambda held: 600 + 200 * len(held.connection.rooms))

    async def find(self, name: Name, id: int) -> Held:
        """A record. Raises `UnknownPos`."""
        held: Held | None = self._held.get((name, id))
        if held is None:
            now = self._clock.now_ms()
            found = await self._database.read(lambda tx: StoredConnections(tx).find(*name, id))
            if found is None or found[1] < now - self._lifetime_ms:
                raise UnknownPos("Begin a new connection")
            if found[1] < now - TOUCH_EVERY_MS:
                await self._database.transact(lambda tx: StoredConnections(tx).touch(*name, id, now))
            held = Held(id, Connection.decoded(bytes(found[0])))
            self._held.put((name, id), held)
        return held

    async def begin(self, name: Name, connection: Connection, request: SlidingRequest) -> int:
        """Keep the first record of a connection instead of those of earlier ones of the name; gives its number."""
        return await self._add(name, connection, request, None)

    async def go_on(self, name: Name, before: Held, connection: Connection, request: SlidingRequest) -> int:
        """Keep what followed a record, unless nothing changed; gives its number."""
        if connection is before.connection:
            before.answered = request
            return before.id
        return await self._add(name, connection, request, before.id)

    async def expire(self) -> None:
        """Forget what was not used for long, and what belongs to devices that are no more."""
        before = self._clock.now_ms() - self._lifetime_ms
        await self._database.transact(lambda tx: StoredConnections(tx).expire(before))

    async def _add(
        self, name: Name, connection: Connection, request: SlidingRequest, before: int | None
    ) -> int:
        connection, encoded = _bounded(connection)
        now = self._clock.now_ms()

        def add(tx: Transaction) -> int:
            table = StoredConnections(tx)
            id = table.add(*name, encoded, now)
            table.drop_others(*name, [id] if before is None else [before, id])
            if before is None:
                table.drop_beyond(name[0], name[1], self._limit)
            return id

        id = await self._database.transact(add)
        self._held.put((name, id), Held(id, connection, request))
        return id


def _bounded(connection: Connection) -> tuple[Connection, bytes]:
    encoded = connection.encoded()
    while len(encoded) > MAX_BYTES:
        rooms: list[tuple[RoomID, Sent]] = list(connection.rooms.items())
        connection = Connection(dict(rooms[len(rooms) // 2 :]), connection.configs)
        encoded = connection.encoded()
    return connection, encoded
