"""Account data and tags.

https://spec.matrix.org/v1.19/client-server-api/#client-config,
https://spec.matrix.org/v1.19/client-server-api/#room-tagging
"""

from dataclasses import dataclass
from typing import Any

from homeserver.http.authentication import access_token_or_guest
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.account_data import GLOBAL, AccountData

_GLOBAL = "/_matrix/client/{v3,r0}/user/{user_id}/account_data/{type_}"
_ROOM = "/_matrix/client/{v3,r0}/user/{user_id}/rooms/{room_id}/account_data/{type_}"
_DELETE = "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}"
_MSC3391 = "https://github.com/matrix-org/matrix-spec-proposals/pull/3391"
_TAGS = "/_matrix/client/{v3,r0}/user/{user_id}/rooms/{room_id}/tags"
_TAG = "/_matrix/client/{v3,r0}/user/{user_id}/rooms/{room_id}/tags/{tag}"


@dataclass(frozen=True, slots=True)
class AccountDataApi:
    """Endpoints about what clients keep for themselves."""

    account_data: AccountData

    @endpoint(
        "GET",
        _GLOBAL,
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3useruseridaccount_datatype",
    )
    async def global_data(self, who: Requester, user_id: Path[UserID], type_: Path[str]) -> RawJson:
        """One type of data of the account."""
        return RawJson(await self.account_data.content(who, user_id, GLOBAL, type_))

    @endpoint(
        "PUT",
        _GLOBAL,
        auth=access_token_or_guest,
        limit="profile",
        spec="client-server-api/#put_matrixclientv3useruseridaccount_datatype",
    )
    async def put_global_data(
        self, who: Requester, user_id: Path[UserID], type_: Path[str], body: Body[dict[str, Any]]
    ) -> None:
        """Set one type of data of the account."""
        await self.account_data.put(who, user_id, GLOBAL, type_, body)

    @endpoint(
        "GET",
        _ROOM,
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3useruseridroomsroomidaccount_datatype",
    )
    async def room_data(
        self, who: Requester, user_id: Path[UserID], room_id: Path[RoomID], type_: Path[str]
    ) -> RawJson:
        """One type of data of the account about a room."""
        return RawJson(await self.account_data.content(who, user_id, room_id, type_))

    @endpoint(
        "PUT",
        _ROOM,
        auth=access_token_or_guest,
        limit="profile",
        spec="client-server-api/#put_matrixclientv3useruseridroomsroomidaccount_datatype",
    )
    async def put_room_data(
        self,
        who: Requester,
        user_id: Path[UserID],
        room_id: Path[RoomID],
        type_: Path[str],
        body: Body[dict[str, Any]],
    ) -> None:
        """Set one type of data of the account about a room."""
        await self.account_data.put(who, user_id, room_id, type_, body)

    @endpoint(
        "DELETE",
        _DELETE + "/account_data/{type_}",
        _DELETE + "/rooms/{room_id}/account_data/{type_}",
        auth=access_token_or_guest,
        limit="profile",
        spec=_MSC3391,
    )
    async def delete_data(
        self, who: Requester, user_id: Path[UserID], type_: Path[str], room_id: Path[RoomID] = GLOBAL
    ) -> None:
        """Delete one type of data of the account, as a whole or about a room."""
        await self.account_data.delete(who, user_id, room_id, type_)

    @endpoint(
        "GET",
        _TAGS,
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3useruseridroomsroomidtags",
    )
    async def tags(self, who: Requester, user_id: Path[UserID], room_id: Path[RoomID]) -> dict[str, Any]:
        """The tags of a room."""
        return {"tags": await self.account_data.tags(who, user_id, room_id)}

    @endpoint(
        "PUT",
        _TAG,
        auth=access_token_or_guest,
        limit="profile",
        spec="client-server-api/#put_matrixclientv3useruseridroomsroomidtagstag",
    )
    async def put_tag(
        self,
        who: Requester,
        user_id: Path[UserID],
        room_id: Path[RoomID],
        tag: Path[str],
        body: Body[dict[str, Any]],
    ) -> None:
        """Add a tag to a room."""
        await self.account_data.put_tag(who, user_id, room_id, tag, body)

    @endpoint(
        "DELETE",
        _TAG,
        auth=access_token_or_guest,
        limit="profile",
        spec="client-server-api/#delete_matrixclientv3useruseridroomsroomidtagstag",
    )
    async def delete_tag(
        self, who: Requester, user_id: Path[UserID], room_id: Path[RoomID], tag: Path[str]
    ) -> None:
        """Remove a tag from a room."""
        await self.account_data.delete_tag(who, user_id, room_id, tag)
