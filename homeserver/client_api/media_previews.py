"""What a link leads to: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url"""

from dataclasses import dataclass
from typing import Any, Final

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Query, endpoint
from homeserver.protocol.errors import Unrecognized
from homeserver.protocol.requester import Requester
from homeserver.services.media.previews import Previews

_SPEC: Final = "client-server-api/#"


@dataclass(frozen=True, slots=True)
class MediaPreviewsApi:
    """For our users, if the operator offers it."""

    previews: Previews | None

    @endpoint(
        "GET",
        "/_matrix/client/v1/media/preview_url",
        "/_matrix/media/{v3,r0,v1}/preview_url",
        auth=access_token,
        limit="searches",
        spec=f"{_SPEC}get_matrixclientv1mediapreview_url",
    )
    async def preview(self, who: Requester, url: Query[str], ts: Query[int | None] = None) -> dict[str, Any]:
        """Tell what a page says of itself, as it is now: older versions are not kept."""
        if self.previews is None:
            raise Unrecognized("This server makes no previews")
        return await self.previews.of(url)
