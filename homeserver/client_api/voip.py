"""Calls: the TURN server that clients may use.

https://spec.matrix.org/v1.19/client-server-api/#voice-over-ip
"""

from dataclasses import dataclass
from typing import Any

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import endpoint
from homeserver.protocol.requester import Requester
from homeserver.services.turn import TurnServer


@dataclass(frozen=True, slots=True)
class VoipApi:
    """Endpoints for calls."""

    turn: TurnServer

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/voip/turnServer",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3voipturnserver",
    )
    async def turn_server(self, who: Requester) -> dict[str, Any]:
        """Addresses and credentials of the TURN server; nothing if there is none."""
        return self.turn.credentials(who.user_id)
