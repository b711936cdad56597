"""Presence.

https://spec.matrix.org/v1.19/client-server-api/#presence
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from homeserver.services.presence import Presence
from homeserver.services.sync.live import Live

_STATUS = "/_matrix/client/{v3,r0}/presence/{user_id}/status"


State: TypeAlias = Literal["online", "offline", "unavailable", "busy", "org.matrix.msc3026.busy"]
"""With the state of MSC3026 by both of its names."""


class OwnPresence(msgspec.Struct, frozen=True):
    """What a user says of themselves."""

    presence: State
    status_msg: str | None = None


@dataclass(frozen=True, slots=True)
class PresenceApi:
    """Endpoints about who is here."""

    presence: Presence
    live: Live

    @endpoint(
        "GET", _STATUS, auth=access_token, spec="client-server-api/#get_matrixclientv3presenceuseridstatus"
    )
    async def presence_of(self, who: Requester, user_id: Path[UserID]) -> dict[str, Any]:
        """The presence of a user with whom one shares a room."""
        await self.live.require_shared_room(who.user_id, user_id)
        return self.presence.content(self.presence.of(user_id))

    @endpoint(
        "PUT",
        _STATUS,
        auth=access_token,
        limit="ephemeral",
        spec="client-server-api/#put_matrixclientv3presenceuseridstatus",
    )
    async def put_presence(self, who: Requester, user_id: Path[UserID], body: Body[OwnPresence]) -> None:
        """Set one's own presence."""
        self.presence.put(who, user_id, body.presence, body.status_msg)
