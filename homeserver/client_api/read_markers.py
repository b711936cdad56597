"""Fully-read markers.

https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers
"""

from dataclasses import dataclass

import msgspec

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.read_markers import ReadMarkers


class Markers(msgspec.Struct, frozen=True):
    """Where to move the marker, and receipts along with it."""

    fully_read: EventID | None = msgspec.field(name="m.fully_read", default=None)
    read: EventID | None = msgspec.field(name="m.read", default=None)
    read_private: EventID | None = msgspec.field(name="m.read.private", default=None)


@dataclass(frozen=True, slots=True)
class ReadMarkersApi:
    """The endpoint that moves markers."""

    read_markers: ReadMarkers

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/read_markers",
        auth=access_token,
        limit="ephemeral",
        spec="client-server-api/#post_matrixclientv3roomsroomidread_markers",
    )
    async def post_read_markers(self, who: Requester, room_id: Path[RoomID], body: Body[Markers]) -> None:
        """Move the fully-read marker and receipts."""
        given = {"m.read": body.read, "m.read.private": body.read_private}
        receipts = {kind: event_id for kind, event_id in given.items() if event_id is not None}
        await self.read_markers.put(who, room_id, body.fully_read, receipts)
