"""Profiles.

https://spec.matrix.org/v1.19/client-server-api/#profiles
"""

from dataclasses import dataclass
from typing import Any

from homeserver.http.authentication import access_token_or_guest, no_auth
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from homeserver.services.profiles import Profiles

_PROFILE = "/_matrix/client/{v3,r0}/profile/{user_id}"
_FIELD = "/_matrix/client/{v3,r0}/profile/{user_id}/{key_name}"
_UNSTABLE_FIELD = "/_matrix/client/unstable/uk.tcpip.msc4133/profile/{user_id}/{key_name}"


@dataclass(frozen=True, slots=True)
class ProfileApi:
    """Endpoints about what users tell about themselves."""

    profiles: Profiles

    @endpoint(
        "GET",
        _PROFILE,
        auth=no_auth,
        limit="lookups",
        spec="client-server-api/#get_matrixclientv3profileuserid",
    )
    async def profile(self, user_id: Path[UserID]) -> dict[str, Any]:
        """The whole profile of a user."""
        return await self.profiles.profile(user_id)

    @endpoint(
        "GET",
        _FIELD,
        _UNSTABLE_FIELD,
        auth=no_auth,
        limit="lookups",
        spec="client-server-api/#get_matrixclientv3profileuseridkeyname",
    )
    async def field(self, user_id: Path[UserID], key_name: Path[str]) -> dict[str, Any]:
        """One field of a profile."""
        return await self.profiles.value(user_id, key_name)

    @endpoint(
        "PUT",
        _FIELD,
        _UNSTABLE_FIELD,
        auth=access_token_or_guest,
        limit="profile",
        spec="client-server-api/#put_matrixclientv3profileuseridkeyname",
    )
    async def put_field(
        self, who: Requester, user_id: Path[UserID], key_name: Path[str], body: Body[dict[str, Any]]
    ) -> None:
        """Set a field of one's own profile."""
        await self.profiles.put(who, user_id, key_name, body)

    @endpoint(
        "DELETE",
        _FIELD,
        _UNSTABLE_FIELD,
        auth=access_token_or_guest,
        limit="profile",
        spec="client-server-api/#delete_matrixclientv3profileuseridkeyname",
    )
    async def delete_field(self, who: Requester, user_id: Path[UserID], key_name: Path[str]) -> None:
        """Remove a field of one's own profile."""
        await self.profiles.delete(who, user_id, key_name)
