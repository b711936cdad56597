"""Server notices for administrators, at the paths where the tools that people use expect them.

https://element-hq.github.io/synapse/latest/admin_api/server_notices.html
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from homeserver.http.authentication import admin_token
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import EventID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.server_notices import Notice, ServerNotices

_PATH: Final = "/_synapse/admin/v1/send_server_notice"
_SPEC: Final = "https://element-hq.github.io/synapse/latest/admin_api/server_notices.html"


class NoticeRequest(msgspec.Struct, frozen=True):
    """The body: an event for a user."""

    user_id: UserID
    content: dict[str, Any]
    type: str = "m.room.message"
    state_key: str | None = None


class Sent(msgspec.Struct, frozen=True):
    """The event."""

    event_id: EventID


@dataclass(frozen=True, slots=True)
class ServerNoticesApi:
    """Telling users something in the name of the server."""

    notices: ServerNotices

    @endpoint("POST", _PATH, auth=admin_token, spec=_SPEC)
    async def send(self, who: Requester, body: Body[NoticeRequest]) -> Sent:
        """Send a notice to a user."""
        return Sent(await self.notices.send(who, _notice(body), None))

    @endpoint("PUT", f"{_PATH}/{{txn_id}}", auth=admin_token, spec=_SPEC)
    async def send_once(self, who: Requester, txn_id: Path[str], body: Body[NoticeRequest]) -> Sent:
        """Send a notice to a user, once however often it is asked for."""
        return Sent(await self.notices.send(who, _notice(body), txn_id))


def _notice(body: NoticeRequest) -> Notice:
    return Notice(body.user_id, body.content, body.type, body.state_key)
