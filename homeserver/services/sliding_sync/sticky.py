"""Telling of sticky events, in all rooms that belong to any of the client's lists, in sight or not.

They are acknowledged like messages to the device: the client says in `since` up to where it has them.

https://github.com/matrix-org/matrix-spec-proposals/pull/4480
"""

from collections.abc import Collection
from typing import Final

import orjson

from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.access import Seen
from homeserver.services.rooms.rendering import Renderer, Viewer
from homeserver.services.sliding_sync.gather import Reading
from homeserver.services.sliding_sync.model import MessagesRequest
from homeserver.services.sticky_events import StickyEvents

STICKY_EXTENSION: Final = "org.matrix.msc4354.sticky_events"


class StickyExtension:
    """Reads and renders what is sticky."""

    def __init__(self, sticky: StickyEvents, renderer: Renderer) -> None:
        self._sticky = sticky
        self._renderer = renderer

    async def tell(
        self,
        who: Requester,
        reading: Reading,
        request: MessagesRequest,
        rooms: Collection[RoomID],
        told: Collection[int],
    ) -> tuple[bytes, bool]:
        """What is new beside the events that were ``told`` otherwise, by number, and whether that is anything."""
        since = min(request.since, reading.upto)
        page = await self._sticky.page(
            reading.user_id, rooms, (since, reading.upto), reading.ignored, request.limit
        )
        events = [stored for stored in page.events if stored.nid not in told]
        shown = await self._renderer.timeline(
            Viewer.of(who), [Seen(stored, "join") for stored in events], with_room_id=False, bundled=False
        )
        by_room: dict[RoomID, list[bytes]] = {}
        for stored, event in zip(events, shown, strict=True):
            by_room.setdefault(stored.event.room_id, []).append(event)
        members = [
            b'%b:{"events":[%b]}' % (orjson.dumps(room), b",".join(each)) for room, each in by_room.items()
        ]
        body = b'{"next_batch":"%d","rooms":{%b}}' % (page.upto, b",".join(members))
        return body, bool(events)
