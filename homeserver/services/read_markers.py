"""Fully-read markers, and receipts set together with them.

https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers
"""

from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.account_data import FULLY_READ, put_entry
from homeserver.services.receipts import Receipts
from homeserver.services.rooms.access import Access


class ReadMarkers:
    """Sets markers: account data of the room."""

    def __init__(self, access: Access, receipts: Receipts) -> None:
        self._access = access
        self._receipts = receipts

    async def put(
        self, who: Requester, room_id: RoomID, fully_read: EventID | None, receipts: dict[str, EventID]
    ) -> None:
        """Move the marker (None: leave it) and receipts, by type. Raises Forbidden, NotFound."""
        await self._access.require_joined(room_id, who.user_id)
        also = []
        if fully_read is not None:
            also.append(put_entry(who.user_id, room_id, FULLY_READ, {"event_id": fully_read}))
        await self._receipts.put_all(who, room_id, receipts, None, also)
