"""Which versions of the specification this server speaks.

https://spec.matrix.org/v1.19/client-server-api/#api-versions
"""

from homeserver.http.authentication import no_auth
from homeserver.http.encoding import RawJson, encode_json
from homeserver.http.endpoint import endpoint
from homeserver.services.capabilities import Offered, versions


class VersionsApi:
    """Answers without a look at anything."""

    def __init__(self, offered: Offered) -> None:
        self._versions = RawJson(encode_json(versions(offered)))

    @endpoint(
        "GET", "/_matrix/client/versions", auth=no_auth, spec="client-server-api/#get_matrixclientversions"
    )
    async def versions(self) -> RawJson:
        """Versions of the specification and experimental features that work."""
        return self._versions
