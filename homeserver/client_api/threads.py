"""The threads of a room. https://spec.matrix.org/v1.19/client-server-api/#querying-threads-in-a-room"""

from dataclasses import dataclass
from typing import Literal

import orjson

from homeserver.http.authentication import access_token_or_guest
from homeserver.http.decoding import Natural
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Path, Query, endpoint
from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import parse_page_token
from homeserver.services.rooms.rendering import Renderer, Viewer
from homeserver.services.rooms.threads import Threads


@dataclass(frozen=True, slots=True)
class ThreadsApi:
    """The endpoint that lists threads."""

    threads: Threads
    renderer: Renderer

    @endpoint(
        "GET",
        "/_matrix/client/{v1,unstable/org.matrix.msc3856}/rooms/{room_id}/threads",
        auth=access_token_or_guest,
        spec="client-server-api/#get_matrixclientv1roomsroomidthreads",
    )
    async def threads_of_room(
        self,
        who: Requester,
        room_id: Path[RoomID],
        include: Query[Literal["all", "participated"]] = "all",
        limit: Query[Natural] = Natural(20),
        from_: Query[str | None] = None,
    ) -> RawJson:
        """The threads of a room, those with the latest replies first."""
        start = parse_page_token(from_) if from_ else None
        page = await self.threads.page(who, room_id, start, limit, participated=include == "participated")
        chunk = b'{"chunk":[%b]' % b",".join(await self.renderer.timeline(Viewer.of(who), page.roots))
        if page.end is None:
            return RawJson(chunk + b"}")
        return RawJson(chunk + b',"next_batch":%b}' % orjson.dumps(str(page.end)))
