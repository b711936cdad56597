"""To where this server delegates. https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver"""

from dataclasses import dataclass

from federation.wire.version import WELL_KNOWN, WellKnown
from homeserver.http.authentication import no_auth
from homeserver.http.endpoint import endpoint
from homeserver.protocol.errors import NotFound


@dataclass(frozen=True, slots=True)
class WellKnownServerApi:
    """One endpoint. `delegate_to` is a server name in its own right, with a port where it has one."""

    delegate_to: str | None

    @endpoint(
        WELL_KNOWN.method, WELL_KNOWN.path, auth=no_auth, spec="server-server-api/#getwell-knownmatrixserver"
    )
    async def well_known_server(self) -> WellKnown:
        """Tell other servers where to connect to."""
        if self.delegate_to is None:
            raise NotFound("This server does not delegate")
        return WellKnown(self.delegate_to)
