"""Simplified sliding sync, in the shape that was accepted and in the one that was deployed before.

https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md
"""

from dataclasses import dataclass, replace

from homeserver.client_api.presence import State
from homeserver.client_api.sliding_sync_requests import AcceptedRequest, DeployedRequest, RequestReader
from homeserver.http.authentication import access_token_or_guest
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Body, Query, endpoint
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.rendering import Viewer
from homeserver.services.sliding_sync.rendering import ACCEPTED, DEPLOYED, SlidingRenderer
from homeserver.services.sliding_sync.sliding_sync import SlidingSync

_MSC = "https://github.com/matrix-org/matrix-spec-proposals/pull/4186"


@dataclass(frozen=True, slots=True)
class SlidingSyncApi:
    """The endpoints that clients with many rooms live on."""

    service: SlidingSync
    renderer: SlidingRenderer
    reader: RequestReader

    @endpoint("POST", "/_matrix/client/v4/sync", auth=access_token_or_guest, long_poll=True, spec=_MSC)
    async def sync(self, who: Requester, body: Body[AcceptedRequest]) -> RawJson:
        """What is new in the rooms that the client looks at."""
        result = await self.service.sync(who, self.reader.accepted(body, who.user_id))
        return RawJson(await self.renderer.body(result, Viewer.of(who), ACCEPTED))

    @endpoint(
        "POST",
        "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        auth=access_token_or_guest,
        long_poll=True,
        spec=_MSC,
    )
    async def deployed_sync(
        self,
        who: Requester,
        body: Body[DeployedRequest],
        pos: Query[str | None] = None,
        timeout: Query[int] = 0,
        set_presence: Query[State | None] = None,
    ) -> RawJson:
        """The same as clients know it that are older than the accepted proposal."""
        request = replace(
            self.reader.deployed(body, who.user_id),
            pos=pos or None,
            timeout_ms=timeout,
            set_presence=set_presence,
        )
        result = await self.service.sync(who, request)
        return RawJson(await self.renderer.body(result, Viewer.of(who), DEPLOYED, body.txn_id))
