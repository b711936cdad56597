"""Syncing as it was before `/sync`; clients that watch rooms without joining them still do it so.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3events,
https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3initialsync
"""

from dataclasses import dataclass
from typing import Any

from homeserver.http.authentication import access_token, access_token_or_guest
from homeserver.http.decoding import Natural
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.old_sync.initial import InitialSync
from homeserver.services.old_sync.stream import EventStream


@dataclass(frozen=True, slots=True)
class OldSyncApi:
    """The deprecated endpoints."""

    initial: InitialSync
    stream: EventStream

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/initialSync",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3initialsync",
    )
    async def initial_sync(
        self, who: Requester, limit: Query[Natural] = Natural(10), archived: Query[bool] = False
    ) -> dict[str, Any]:
        """All rooms of the user."""
        return await self.initial.everything(who, limit, archived)

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/initialSync",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv3roomsroomidinitialsync",
    )
    async def room_initial_sync(
        self, who: Requester, room_id: Path[RoomID], limit: Query[Natural] = Natural(10)
    ) -> dict[str, Any]:
        """One room."""
        return await self.initial.room(who, room_id, limit)

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/events",
        auth=access_token_or_guest,
        long_poll=True,
        spec="client-server-api/#get_matrixclientv3events",
    )
    async def events(
        self,
        who: Requester,
        from_: Query[str] = "",
        timeout: Query[Natural] = Natural(0),
        limit: Query[Natural] = Natural(100),
        room_id: Query[RoomID | None] = None,
    ) -> dict[str, Any]:
        """What is new in the user's rooms, or in one room."""
        return await self.stream.poll(who, room_id, from_ or None, timeout, limit)

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/events/{event_id}",
        auth=access_token,
        spec="client-server-api/#get_matrixclientv3eventseventid",
    )
    async def event(self, who: Requester, event_id: Path[EventID]) -> RawJson:
        """One event, without its room."""
        return RawJson(await self.initial.event(who, event_id))
