"""How this server stands with another one: what it owes it, and whether it has given up on it for now."""

from dataclasses import dataclass
from typing import Final

from homeserver.protocol.identifiers import ServerName
from storage.database import Database
from storage.journal import Stream
from storage.tables.destinations import Destinations, FailingDestination
from storage.tables.outbox import Outbox
from storage.tables.to_device import ToDevice
from storage.transaction import Transaction

__all__ = ["MANY", "DestinationStanding", "Standing"]

MANY: Final = 1000
"""More than that is not counted."""
_LATE: Final = 2**62
"""A time at which nothing is sticky any more: what was said before the server came is not counted."""


@dataclass(frozen=True, slots=True)
class Standing:
    """``rooms``: shared with the server; ``events`` and ``to_device``: owed to it, `MANY` standing for more;
    ``failing``: None if it answered when it was last asked.
    """

    rooms: int
    events: int
    to_device: int
    failing: FailingDestination | None


class DestinationStanding:
    """Reads it from what every node has on record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, server: ServerName) -> Standing:
        """How things are now. Progress is put on record every second: so old the numbers may be."""
        return await self._database.read(lambda tx: _standing(tx, server))


def _standing(tx: Transaction, server: ServerName) -> Standing:
    outbox, destinations = Outbox(tx), Destinations(tx)
    behind = outbox.lagging_at(server)
    after = outbox.progress() if behind is None else behind
    return Standing(
        rooms=destinations.shared_rooms(server),
        events=len(outbox.owed(server, after, Stream(tx).position(), _LATE, MANY)),
        to_device=len(ToDevice(tx).outgoing(server, MANY)),
        failing=destinations.failing_one(server),
    )
