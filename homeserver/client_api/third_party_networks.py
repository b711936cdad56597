"""Networks other than Matrix, which application services bridge to. None bridges yet, so nothing is found.

https://spec.matrix.org/v1.19/client-server-api/#third-party-networks
"""

from typing import Any

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.errors import NotFound
from homeserver.protocol.requester import Requester

_BASE = "/_matrix/client/{v3,r0}/thirdparty"


class ThirdPartyNetworksApi:
    """Endpoints that look for networks, and for rooms and users in them."""

    @endpoint(
        "GET",
        _BASE + "/protocols",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3thirdpartyprotocols",
    )
    async def protocols(self, who: Requester) -> dict[str, Any]:
        """The networks."""
        return {}

    @endpoint(
        "GET",
        _BASE + "/protocol/{protocol}",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3thirdpartyprotocolprotocol",
    )
    async def protocol(self, who: Requester, protocol: Path[str]) -> dict[str, Any]:
        """One network."""
        raise NotFound("Unknown protocol")

    @endpoint(
        "GET",
        _BASE + "/location/{protocol}",
        _BASE + "/user/{protocol}",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3thirdpartylocationprotocol",
    )
    async def found_in(self, who: Requester, protocol: Path[str]) -> list[dict[str, Any]]:
        """Rooms or users that stand for some of a network."""
        raise NotFound("Unknown protocol")

    @endpoint(
        "GET",
        _BASE + "/location",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3thirdpartylocation",
    )
    async def locations_of(self, who: Requester, alias: Query[str]) -> list[dict[str, Any]]:
        """What of a network a room stands for."""
        raise NotFound("The alias stands for nothing in another network")

    @endpoint(
        "GET", _BASE + "/user", auth=access_token, spec="client-server-api/#get_matrixclientv3thirdpartyuser"
    )
    async def users_of(self, who: Requester, userid: Query[str]) -> list[dict[str, Any]]:
        """Whom in a network a user stands for."""
        raise NotFound("The user stands for nobody in another network")
