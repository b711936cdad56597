"""What this server can do for its users.

https://spec.matrix.org/v1.19/client-server-api/#capabilities-negotiation
"""

from typing import Any

from homeserver.http.authentication import access_token_or_guest
from homeserver.http.endpoint import endpoint
from homeserver.protocol.requester import Requester
from homeserver.services.capabilities import MODERATION, Offered, capabilities


class CapabilitiesApi:
    """The same for everybody who is not an administrator."""

    def __init__(self, offered: Offered) -> None:
        self._capabilities = capabilities(offered)
        self._for_admins = {**self._capabilities, **MODERATION}

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/capabilities",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3capabilities",
    )
    async def capabilities(self, who: Requester) -> dict[str, Any]:
        """The server's capabilities."""
        return {"capabilities": self._for_admins if who.is_admin else self._capabilities}
