"""Following threads.

https://github.com/matrix-org/matrix-spec-proposals/pull/4306,
https://github.com/matrix-org/matrix-spec-proposals/pull/4308
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import orjson

from homeserver.http.authentication import access_token
from homeserver.http.encoding import RawJson
from homeserver.http.endpoint import Body, Path, Query, endpoint
from homeserver.protocol.errors import InvalidParam, Unrecognized
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import parse_sliding_position, parse_subscriptions_token
from homeserver.services.sliding_sync.subscriptions import MAX_SUBSCRIPTIONS, changes_json, token_of
from homeserver.services.thread_subscriptions import ThreadSubscriptions

_THREAD: Final = (
    "/_matrix/client/unstable/io.element.msc4306/rooms/{room_id}/thread/{thread_root_id}/subscription"
)
_SPEC: Final = "https://github.com/matrix-org/matrix-spec-proposals/pull/4306"
_PAGES: Final = "https://github.com/matrix-org/matrix-spec-proposals/pull/4308"


class ToSubscribe(msgspec.Struct, frozen=True):
    """Because of which event a client subscribes, if it was not the user's own decision."""

    automatic: EventID | None = None


class Subscription(msgspec.Struct, frozen=True):
    """A subscription that there is."""

    automatic: bool


@dataclass(frozen=True, slots=True)
class ThreadSubscriptionsApi:
    """The endpoints of a server on which users subscribe to threads; of another there are none."""

    subscriptions: ThreadSubscriptions | None

    @endpoint("GET", _THREAD, auth=access_token, spec=_SPEC)
    async def find(
        self, who: Requester, room_id: Path[RoomID], thread_root_id: Path[EventID]
    ) -> Subscription:
        """Whether the user is subscribed to a thread, and how that came."""
        row = await self._offered().find(who.user_id, room_id, thread_root_id)
        return Subscription(row.automatic)

    @endpoint("PUT", _THREAD, auth=access_token, limit="ephemeral", spec=_SPEC)
    async def subscribe(
        self,
        who: Requester,
        room_id: Path[RoomID],
        thread_root_id: Path[EventID],
        body: Body[ToSubscribe],
    ) -> dict[str, Any]:
        """Subscribe to a thread."""
        await self._offered().subscribe(who.user_id, room_id, thread_root_id, body.automatic)
        return {}

    @endpoint("DELETE", _THREAD, auth=access_token, limit="ephemeral", spec=_SPEC)
    async def unsubscribe(
        self, who: Requester, room_id: Path[RoomID], thread_root_id: Path[EventID]
    ) -> dict[str, Any]:
        """Be subscribed to a thread no more."""
        await self._offered().unsubscribe(who.user_id, room_id, thread_root_id)
        return {}

    @endpoint(
        "GET",
        "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions",
        auth=access_token,
        spec=_PAGES,
    )
    async def page(
        self,
        who: Requester,
        dir: Query[Literal["b"]],
        from_: Query[str | None] = None,
        to: Query[str | None] = None,
        limit: Query[int] = 100,
    ) -> RawJson:
        """Subscriptions that have changed, the latest first: what sliding sync left out."""
        subscriptions = self._offered()
        if limit < 1:
            raise InvalidParam("`limit` must be positive")
        since = 0 if to is None else _place(to)
        upto = subscriptions.position if from_ is None else parse_subscriptions_token(from_)
        found = await subscriptions.page(who.user_id, since, upto, min(limit, MAX_SUBSCRIPTIONS))
        members = changes_json(found.changes)
        if found.end is not None:
            members.append(b'"end":' + orjson.dumps(token_of(found.end)))
        return RawJson(b"{%b}" % b",".join(members))

    def _offered(self) -> ThreadSubscriptions:
        if self.subscriptions is None:
            raise Unrecognized
        return self.subscriptions


def _place(token: str) -> int:
    """A place that sliding sync gave, as its position or for this list."""
    if "!" in token:
        return parse_sliding_position(token)[0].pos
    return parse_subscriptions_token(token)
