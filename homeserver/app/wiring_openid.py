"""Construction of what tells other services who is behind an OpenID token."""

from federation.server_api.openid import OpenIDApi
from homeserver.app.core import Core
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.services.openid import OpenID


def openid_server_endpoints(core: Core) -> list[BoundEndpoint]:
    """For other services; also of a server that does not federate, as services on its own side ask too."""
    return collect(OpenIDApi(OpenID(core.server_name, core.database, core.clock, core.random)))
