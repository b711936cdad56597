"""Invites by e-mail address or phone number. https://spec.matrix.org/v1.19/server-server-api/#third-party-invites"""

from dataclasses import dataclass
from typing import Any, Final

from federation.wire.inviting import EXCHANGE_THIRD_PARTY_INVITE, THIRD_PARTY_BOUND, ThirdPartyInvites
from homeserver.http.authentication import Origin, no_auth, server_signature
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.errors import BadJson, InvalidParam
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, is_user_id, server_of
from homeserver.services.rooms.server_access import ServerAccess
from homeserver.services.rooms.third_party_invites import ThirdPartyInvites as Invites
from homeserver.services.rooms.third_party_invites import redemption_of

_SPEC: Final = "server-server-api/#"


@dataclass(frozen=True, slots=True)
class ThirdPartyInvitesApi:
    """For identity servers, and for the servers of those who are invited."""

    server_name: ServerName
    access: ServerAccess
    invites: Invites

    @endpoint(
        EXCHANGE_THIRD_PARTY_INVITE.method,
        EXCHANGE_THIRD_PARTY_INVITE.path,
        auth=server_signature,
        spec=f"{_SPEC}put_matrixfederationv1exchange_third_party_inviteroomid",
    )
    async def exchange(self, origin: Origin, room_id: Path[RoomID], body: Body[dict[str, Any]]) -> None:
        """Issue the invite of which another server has the proof."""
        await self.access.participating(room_id, origin.server)
        redemption = redemption_of(room_id, body)
        if server_of(redemption.target) != origin.server:
            raise InvalidParam("The invited user is not one of your server")
        await self.invites.redeem(redemption)

    @endpoint(
        THIRD_PARTY_BOUND.method,
        THIRD_PARTY_BOUND.path,
        auth=no_auth,
        limit="lookups",
        spec=f"{_SPEC}put_matrixfederationv13pidonbind",
    )
    async def bound(self, body: Body[ThirdPartyInvites]) -> None:
        """An address belongs to a user of this server now."""
        await self._bound(body)

    @endpoint(
        "POST",
        THIRD_PARTY_BOUND.path,
        auth=no_auth,
        limit="lookups",
        spec=f"{_SPEC}put_matrixfederationv13pidonbind",
    )
    async def bound_by_post(self, body: Body[ThirdPartyInvites]) -> None:
        """The same as identity servers in the wild ask it."""
        await self._bound(body)

    async def _bound(self, body: ThirdPartyInvites) -> None:
        if not is_user_id(body.mxid):
            raise BadJson("`mxid` is not a user ID")
        if server_of(body.mxid) != self.server_name:
            raise InvalidParam("The user is not one of this server")
        await self.invites.bound(UserID(body.mxid), body.invites)
