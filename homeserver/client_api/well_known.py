"""Where clients find this server.

https://spec.matrix.org/v1.19/client-server-api/#well-known-uris
"""

from homeserver.http.authentication import no_auth
from homeserver.http.encoding import RawJson, encode_json
from homeserver.http.endpoint import endpoint


class WellKnownApi:
    """Documents that depend only on the configuration."""

    def __init__(self, public_baseurl: str) -> None:
        self._client = RawJson(encode_json({"m.homeserver": {"base_url": public_baseurl.rstrip("/")}}))

    @endpoint(
        "GET", "/.well-known/matrix/client", auth=no_auth, spec="client-server-api/#getwell-knownmatrixclient"
    )
    async def client(self) -> RawJson:
        """The base URL for clients."""
        return self._client
