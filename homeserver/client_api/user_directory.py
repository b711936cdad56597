"""The directory of users.

https://spec.matrix.org/v1.19/client-server-api/#user-directory
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, endpoint
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from homeserver.services.user_directory import UserDirectory


class UserSearch(msgspec.Struct, frozen=True):
    """Whom somebody looks for."""

    search_term: str
    limit: Annotated[int, msgspec.Meta(ge=0)] = 10


class FoundUser(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of them."""

    user_id: UserID
    display_name: str | None = None
    avatar_url: str | None = None


class UserSearchResults(msgspec.Struct, frozen=True):
    """Those found, the best first."""

    results: list[FoundUser]
    limited: bool


@dataclass(frozen=True, slots=True)
class UserDirectoryApi:
    """The endpoint that searches it."""

    directory: UserDirectory

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/user_directory/search",
        auth=access_token,
        limit="searches",
        spec="client-server-api/#post_matrixclientv3user_directorysearch",
    )
    async def search(self, who: Requester, body: Body[UserSearch]) -> UserSearchResults:
        """Find users by their names and IDs."""
        found = await self.directory.search(who, body.search_term, body.limit)
        users = [FoundUser(row.user_id, row.display_name, row.avatar_url) for row in found.users]
        return UserSearchResults(users, found.limited)
