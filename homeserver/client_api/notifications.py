"""The list of notifications.

https://spec.matrix.org/v1.19/client-server-api/#listing-notifications
"""

from dataclasses import dataclass
from typing import Annotated

from homeserver.http.authentication import access_token
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Query, endpoint, named
from homeserver.protocol.requester import Requester
from homeserver.services.notifications import Notifications


@dataclass(frozen=True, slots=True)
class NotificationsApi:
    """The endpoint that lists them."""

    notifications: Notifications

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/notifications",
        auth=access_token,
        limit="searches",
        spec="client-server-api/#get_matrixclientv3notifications",
    )
    async def list_notifications(
        self,
        who: Requester,
        from_: Annotated[Query[str | None], named("from")] = None,
        limit: Query[int] = 20,
        only: Query[str | None] = None,
    ) -> RawJson:
        """What the user has been notified about, the latest first."""
        highlights = only is not None and "highlight" in only.split(",")
        return RawJson(await self.notifications.page(who, from_, limit, highlights=highlights))
