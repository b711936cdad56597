"""Reporting rooms, events and users.

https://spec.matrix.org/v1.19/client-server-api/#reporting-content
"""

from dataclasses import dataclass

import msgspec

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.reports import Reports


class Complaint(msgspec.Struct, frozen=True):
    """Why a room or a user is reported; may be blank."""

    reason: str


class EventComplaint(msgspec.Struct, frozen=True):
    """Why an event is reported."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ReportingApi:
    """Endpoints that take reports."""

    reports: Reports

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/report/{event_id}",
        auth=access_token,
        limit="reports",
        spec="client-server-api/#post_matrixclientv3roomsroomidreporteventid",
    )
    async def report_event(
        self, who: Requester, room_id: Path[RoomID], event_id: Path[EventID], body: Body[EventComplaint]
    ) -> None:
        """Report an event."""
        await self.reports.event(who, room_id, event_id, body.reason or "")

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/rooms/{room_id}/report",
        "/_matrix/client/unstable/org.matrix.msc4151/rooms/{room_id}/report",
        auth=access_token,
        limit="reports",
        spec="client-server-api/#post_matrixclientv3roomsroomidreport",
    )
    async def report_room(self, who: Requester, room_id: Path[RoomID], body: Body[Complaint]) -> None:
        """Report a room."""
        await self.reports.room(who, room_id, body.reason)

    @endpoint(
        "POST",
        "/_matrix/client/{v3,r0}/users/{user_id}/report",
        "/_matrix/client/unstable/org.matrix.msc4260/users/{user_id}/report",
        auth=access_token,
        limit="reports",
        spec="client-server-api/#post_matrixclientv3usersuseridreport",
    )
    async def report_user(self, who: Requester, user_id: Path[UserID], body: Body[Complaint]) -> None:
        """Report a user."""
        await self.reports.user(who, user_id, body.reason)
