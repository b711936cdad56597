"""Read receipts.

https://spec.matrix.org/v1.19/client-server-api/#receipts
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.read_markers import ReadMarkers
from homeserver.services.receipts import Receipts


class ReceiptBody(msgspec.Struct, frozen=True):
    """The thread that was read: `main`, or the event ID of its root. Without it, whatever the thread."""

    thread_id: object = None


@dataclass(frozen=True, slots=True)
class ReceiptsApi:
    """The endpoint that moves a receipt."""

    receipts: Receipts
    read_markers: ReadMarkers

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/receipt/{receipt_type}/{event_id}",
        auth=access_token,
        limit="ephemeral",
        empty_body_ok=True,
        spec="client-server-api/#post_matrixclientv3roomsroomidreceiptreceipttypeeventid",
    )
    async def post_receipt(
        self,
        who: Requester,
        room_id: Path[RoomID],
        receipt_type: Path[Literal["m.read", "m.read.private", "m.fully_read"]],
        event_id: Path[EventID],
        body: Body[ReceiptBody],
    ) -> None:
        """Tell up to which event the user has read."""
        thread_id = body.thread_id
        if thread_id is not None and not (isinstance(thread_id, str) and thread_id):
            raise InvalidParam("`thread_id` must be a non-empty string")
        if receipt_type != "m.fully_read":
            await self.receipts.put(who, room_id, receipt_type, event_id, thread_id)
        elif thread_id is not None:
            raise InvalidParam("A fully-read marker belongs to no thread")
        else:
            await self.read_markers.put(who, room_id, event_id, {})
