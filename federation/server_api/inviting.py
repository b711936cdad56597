"""Users of this server are invited by users of others.
https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room
"""

from dataclasses import dataclass
from typing import Any, Final

from federation.wire.inviting import INVITE, INVITE_V1, Invite, SignedInvite
from homeserver.http.authentication import Origin, server_signature
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.services.rooms.inbound_invites import InboundInvites

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class InvitingApi:
    """Both forms."""

    invites: InboundInvites

    @endpoint(
        INVITE.method,
        INVITE.path,
        auth=server_signature,
        spec=f"{_SPEC}put_matrixfederationv2inviteroomideventid",
        body_limit="federation",
    )
    async def invite(
        self, origin: Origin, room_id: Path[RoomID], event_id: Path[EventID], body: Body[Invite]
    ) -> SignedInvite:
        """Sign an invite and show it to the user."""
        signed = await self.invites.take(
            origin.server, room_id, event_id, body.room_version, body.event, body.invite_room_state
        )
        return SignedInvite(signed.pdu)

    @endpoint(
        INVITE_V1.method,
        INVITE_V1.path,
        auth=server_signature,
        spec=f"{_SPEC}put_matrixfederationv1inviteroomideventid",
        body_limit="federation",
    )
    async def invite_v1(
        self, origin: Origin, room_id: Path[RoomID], event_id: Path[EventID], body: Body[dict[str, Any]]
    ) -> list[Any]:
        """The same for old servers, which know the first room versions only."""
        unsigned = body.get("unsigned")
        state = unsigned.get("invite_room_state") if isinstance(unsigned, dict) else None
        signed = await self.invites.take(origin.server, room_id, event_id, "1", body, state)
        return [200, {"event": signed.pdu}]
