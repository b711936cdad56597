"""Delayed events.

https://github.com/matrix-org/matrix-spec-proposals/pull/4140
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from homeserver.http.authentication import access_token_or_guest, no_auth
from homeserver.http.endpoint import Body, Path, Query, endpoint, named
from homeserver.protocol.errors import Finalised, InvalidParam, NotFound, Unknown
from homeserver.protocol.events.sticky import MAX_STICKY_MS
from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.delayed_events import DelayedEvents, DelayTooLong, Order
from homeserver.services.due_events import DueEvents

Json = dict[str, Any]
Action = Literal["cancel", "restart", "send"]
DelayMs = Annotated[Query[int | None], named("org.matrix.msc4140.delay")]
"""How clients ask for a delay at the endpoints that send at once, as the proposal had it first."""
StickyMs = Annotated[Query[int | None], named("org.matrix.msc4354.sticky_duration_ms")]
"""For how long an event is to be sticky. https://github.com/matrix-org/matrix-spec-proposals/pull/4354"""

_UNSTABLE = "/_matrix/client/unstable/org.matrix.msc4140"
_SPEC = "https://github.com/matrix-org/matrix-spec-proposals/pull/4140"


class ScheduledEvent(msgspec.Struct, frozen=True):
    """What is there of an event that is still to come."""

    delay_id: str


class ToSchedule(msgspec.Struct, frozen=True):
    """An event to be sent later."""

    content: Json
    delay_ms: int
    state_key: str | None = None


class Management(msgspec.Struct, frozen=True):
    """What to do with a delayed event."""

    action: Action


def checked_sticky_ms(duration: int | None) -> int | None:
    """What a client asks for, an hour at most. Raises InvalidParam."""
    if duration is None:
        return None
    if duration < 0:
        raise InvalidParam("An event cannot be sticky for less than no time")
    return min(duration, MAX_STICKY_MS)


async def schedule_by_query(
    delayed: DelayedEvents, who: Requester, order: Order, delay_ms: int, txn_id: str | None
) -> ScheduledEvent:
    """Schedule for a client that asks by `DelayMs`; errors are as it knows them."""
    try:
        return ScheduledEvent(await delayed.schedule(who, order, delay_ms, txn_id))
    except DelayTooLong as error:
        code = {"org.matrix.msc4140.errcode": "M_MAX_DELAY_EXCEEDED"}
        raise Unknown(error.message, **code, **error.extra) from error


@dataclass(frozen=True, slots=True)
class DelayedEventsApi:
    """Endpoints of delayed events. Who knows a delay ID may manage that event: clients tell it to the service that
    knows whether they are still in a call.
    """

    delayed: DelayedEvents
    due: DueEvents

    @endpoint(
        "PUT",
        _UNSTABLE + "/rooms/{room_id}/delayed_event/{event_type}/{txn_id}",
        auth=access_token_or_guest,
        limit="messages",
        spec=_SPEC,
    )
    async def schedule(
        self,
        who: Requester,
        room_id: Path[RoomID],
        event_type: Path[str],
        txn_id: Path[str],
        body: Body[ToSchedule],
        ts: Query[int | None] = None,
        sticky_ms: StickyMs = None,
    ) -> ScheduledEvent:
        """Have an event sent later."""
        sticky = checked_sticky_ms(sticky_ms)
        order = Order(room_id, event_type, body.content, body.state_key, ts, sticky)
        return ScheduledEvent(await self.delayed.schedule(who, order, body.delay_ms, txn_id))

    @endpoint(
        "POST",
        _UNSTABLE + "/delayed_events/{delay_id}/restart",
        auth=no_auth,
        limit="delayed_events",
        empty_body_ok=True,
        spec=_SPEC,
    )
    async def restart(self, delay_id: Path[str], body: Body[Json]) -> Json:
        """Let the time begin anew after which the event is sent."""
        await self._manage(delay_id, "restart")
        return {}

    @endpoint(
        "POST",
        _UNSTABLE + "/delayed_events/{delay_id}/cancel",
        auth=no_auth,
        limit="delayed_events",
        empty_body_ok=True,
        spec=_SPEC,
    )
    async def cancel(self, delay_id: Path[str], body: Body[Json]) -> Json:
        """Let the event never be sent."""
        await self._manage(delay_id, "cancel")
        return {}

    @endpoint(
        "POST",
        _UNSTABLE + "/delayed_events/{delay_id}/send",
        auth=no_auth,
        limit="delayed_events",
        empty_body_ok=True,
        spec=_SPEC,
    )
    async def send(self, delay_id: Path[str], body: Body[Json]) -> Json:
        """Send the event at once."""
        await self._manage(delay_id, "send")
        return {}

    @endpoint(
        "POST",
        _UNSTABLE + "/delayed_events/{delay_id}",
        auth=no_auth,
        limit="delayed_events",
        spec=_SPEC,
    )
    async def manage_by_body(self, delay_id: Path[str], body: Body[Management]) -> Json:
        """The same as the proposal had it first: what has ended was not found then."""
        try:
            await self._manage(delay_id, body.action)
        except Finalised as error:
            raise NotFound(error.message) from error
        return {}

    @endpoint(
        "GET",
        _UNSTABLE + "/delayed_events/{delay_id}",
        auth=access_token_or_guest,
        limit="delayed_events",
        spec=_SPEC,
    )
    async def one(self, who: Requester, delay_id: Path[str]) -> Json:
        """A delayed event of one's own, and what became of it."""
        return await self.delayed.one(who, delay_id)

    @endpoint(
        "GET",
        _UNSTABLE + "/delayed_events",
        auth=access_token_or_guest,
        limit="delayed_events",
        spec=_SPEC,
    )
    async def all_scheduled(self, who: Requester) -> Json:
        """One's own that are still to come."""
        return {"delayed_events": await self.delayed.all_scheduled(who)}

    async def _manage(self, delay_id: str, action: Action) -> None:
        match action:
            case "restart":
                await self.delayed.restart(delay_id)
            case "cancel":
                await self.delayed.cancel(delay_id)
            case "send":
                await self.due.send_now(delay_id)
