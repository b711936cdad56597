"""Which software this is. https://spec.matrix.org/v1.19/server-server-api/#server-implementation"""

from dataclasses import dataclass

from federation.wire.version import VERSION, ServerVersion, Software
from homeserver.http.authentication import no_auth
from homeserver.http.endpoint import endpoint


@dataclass(frozen=True, slots=True)
class VersionApi:
    """One endpoint."""

    software: Software

    @endpoint(
        VERSION.method, VERSION.path, auth=no_auth, spec="server-server-api/#get_matrixfederationv1version"
    )
    async def version(self) -> ServerVersion:
        """Tell the name and version of this software."""
        return ServerVersion(self.software)
