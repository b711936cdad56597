"""Typing notices.

https://spec.matrix.org/v1.19/client-server-api/#typing-notifications
"""

from dataclasses import dataclass

import msgspec

from homeserver.http.authentication import access_token_or_guest
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.typing import Typing


class TypingNotice(msgspec.Struct, frozen=True):
    """Whether the user is typing, and for how many milliseconds this holds."""

    typing: bool
    timeout: int | None = None


@dataclass(frozen=True, slots=True)
class TypingApi:
    """The endpoint that tells that somebody types."""

    typing: Typing

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/typing/{user_id}",
        auth=access_token_or_guest,
        limit="ephemeral",
        spec="client-server-api/#put_matrixclientv3roomsroomidtypinguserid",
    )
    async def put_typing(
        self, who: Requester, room_id: Path[RoomID], user_id: Path[UserID], body: Body[TypingNotice]
    ) -> None:
        """Tell that the user started or stopped typing."""
        await self.typing.put(who, room_id, user_id, body.typing, body.timeout)
