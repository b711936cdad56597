"""Sending message events and setting state.

https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.client_api.delayed_events import (
    DelayMs,
    ScheduledEvent,
    StickyMs,
    checked_sticky_ms,
    schedule_by_query,
)
from homeserver.http.authentication import access_token_or_guest
from homeserver.http.endpoint import Body, Path, Query, endpoint
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.delayed_events import DelayedEvents, Order
from homeserver.services.rooms.sending import PLAIN, Sending, SendOptions


class SentEvent(msgspec.Struct, frozen=True):
    """The event that came of a request."""

    event_id: EventID


@dataclass(frozen=True, slots=True)
class SendingApi:
    """Endpoints that send events."""

    sending: Sending
    delayed: DelayedEvents

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/send/{event_type}/{txn_id}",
        auth=access_token_or_guest,
        limit="messages",
        spec="client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid",
    )
    async def send(
        self,
        who: Requester,
        room_id: Path[RoomID],
        event_type: Path[str],
        txn_id: Path[str],
        body: Body[dict[str, Any]],
        ts: Query[int | None] = None,
        delay_ms: DelayMs = None,
        sticky_ms: StickyMs = None,
    ) -> SentEvent | ScheduledEvent:
        """Send a message event, or have it sent later."""
        sticky = checked_sticky_ms(sticky_ms)
        if delay_ms is not None:
            order = Order(room_id, event_type, body, origin_ts=ts, sticky_ms=sticky)
            return await schedule_by_query(self.delayed, who, order, delay_ms, txn_id)
        options = PLAIN if ts is None and sticky is None else SendOptions(ts, sticky_ms=sticky)
        return SentEvent(await self.sending.send(who, room_id, event_type, txn_id, body, options))

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/send/{event_type}",
        auth=access_token_or_guest,
        limit="messages",
        spec="client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid",
    )
    async def send_without_transaction(
        self, who: Requester, room_id: Path[RoomID], event_type: Path[str], body: Body[dict[str, Any]]
    ) -> SentEvent:
        """Send a message event as clients did before there were transactions; each request sends one."""
        return SentEvent(await self.sending.send(who, room_id, event_type, None, body))

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/state/{event_type}",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/state/{event_type}/{state_key}",
        auth=access_token_or_guest,
        limit="messages",
        spec="client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey",
    )
    async def put_state(
        self,
        who: Requester,
        room_id: Path[RoomID],
        event_type: Path[str],
        body: Body[dict[str, Any]],
        state_key: Path[str] = "",
        ts: Query[int | None] = None,
        delay_ms: DelayMs = None,
        sticky_ms: StickyMs = None,
    ) -> SentEvent | ScheduledEvent:
        """Set an entry of the room's state, or have it set later."""
        sticky = checked_sticky_ms(sticky_ms)
        if delay_ms is not None:
            order = Order(room_id, event_type, body, state_key, ts, sticky)
            return await schedule_by_query(self.delayed, who, order, delay_ms, None)
        options = PLAIN if ts is None and sticky is None else SendOptions(ts, sticky_ms=sticky)
        return SentEvent(await self.sending.put_state(who, room_id, event_type, state_key, body, options))
