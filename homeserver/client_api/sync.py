"""Syncing.

https://spec.matrix.org/v1.19/client-server-api/#syncing
"""

from dataclasses import dataclass
from typing import Annotated

from homeserver.client_api.presence import State
from homeserver.http.authentication import access_token_or_guest
from homeserver.http.decoding import Natural
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Query, endpoint, named
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import parse_sync_token
from homeserver.services.filters import Filters
from homeserver.services.sync.model import STATE, STATE_AFTER, UNSTABLE_STATE_AFTER, SyncRequest
from homeserver.services.sync.sync import Sync


@dataclass(frozen=True, slots=True)
class SyncApi:
    """The endpoint that clients live on."""

    sync_service: Sync
    filters: Filters

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/sync",
        auth=access_token_or_guest,
        long_poll=True,
        spec="client-server-api/#get_matrixclientv3sync",
    )
    async def sync(
        self,
        who: Requester,
        filter: Query[str] = "",
        since: Query[str] = "",
        full_state: Query[bool] = False,
        set_presence: Query[State | None] = None,
        timeout: Query[Natural] = Natural(0),
        use_state_after: Query[bool] = False,
        unstable_state_after: Annotated[Query[bool], named("org.matrix.msc4222.use_state_after")] = False,
    ) -> RawJson:
        """What is new since the last time."""
        request = SyncRequest(
            filter=await self.filters.named(who.user_id, filter),
            filter_text=filter,
            since=parse_sync_token(since) if since else None,
            full_state=full_state,
            timeout_ms=timeout,
            set_presence=set_presence,
            state_name=_state_name(use_state_after, unstable_state_after),
        )
        return RawJson(await self.sync_service.sync(who, request))


def _state_name(stable: bool, unstable: bool) -> str:
    if stable:
        return STATE_AFTER
    return UNSTABLE_STATE_AFTER if unstable else STATE
