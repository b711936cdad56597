"""The lane of presence: it is kept in memory only, and makes nothing else wait or go.

https://spec.matrix.org/v1.19/server-server-api/#presence
"""

from dataclasses import dataclass

from federation.sender.mailbox import OwedEdus
from homeserver.protocol.identifiers import ServerName
from homeserver.services.presence_exchange import PresenceExchange


@dataclass(frozen=True, slots=True)
class PresenceLane:
    """`m.presence`."""

    exchange: PresenceExchange

    async def owed(self, destination: ServerName, limit: int) -> OwedEdus | None:
        """How users are by now of whom the server was to be told."""
        content = self.exchange.next_for(destination)
        return (
            None
            if content is None
            else OwedEdus([{"edu_type": "m.presence", "content": content}], _delivered)
        )


async def _delivered() -> None:
    """Nothing is kept of what was sent."""
