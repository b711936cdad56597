"""Redacting events.

https://spec.matrix.org/v1.19/client-server-api/#redactions
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.client_api.sending import SentEvent
from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.redacting import Redacting


class RedactionReason(msgspec.Struct, frozen=True):
    """The body of a redaction."""

    reason: str | None = None
    with_relations: tuple[str, ...] = msgspec.field(name="org.matrix.msc3912.with_relations", default=())


@dataclass(frozen=True, slots=True)
class RedactApi:
    """The endpoint that redacts."""

    redacting: Redacting

    @endpoint(
        "PUT",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/redact/{event_id}/{txn_id}",
        auth=access_token,
        limit="messages",
        empty_body_ok=True,
        spec="client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid",
    )
    async def redact(
        self,
        who: Requester,
        room_id: Path[RoomID],
        event_id: Path[EventID],
        txn_id: Path[str],
        body: Body[RedactionReason],
    ) -> SentEvent:
        """Strip an event of its content; with it those that relate to it, if they are asked for (MSC3912)."""
        if body.with_relations:
            await self.redacting.redact_related(who, room_id, event_id, body.with_relations, _content(body))
        return SentEvent(await self.redacting.redact(who, room_id, event_id, txn_id, _content(body)))

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/redact/{event_id}",
        auth=access_token,
        limit="messages",
        empty_body_ok=True,
        spec="client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid",
    )
    async def redact_without_transaction(
        self, who: Requester, room_id: Path[RoomID], event_id: Path[EventID], body: Body[RedactionReason]
    ) -> SentEvent:
        """Redact as clients did before there were transactions; each request is a redaction of its own."""
        return SentEvent(await self.redacting.redact(who, room_id, event_id, None, _content(body)))


def _content(body: RedactionReason) -> dict[str, Any]:
    return {} if body.reason is None else {"reason": body.reason}
