"""What administrators of a server may do with any client.

https://spec.matrix.org/v1.19/client-server-api/#server-administration
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from homeserver.http.authentication import access_token, admin_token
from homeserver.http.endpoint import Body, Path, endpoint
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.requester import Requester
from homeserver.services.moderation import Connection, Moderation

_SPEC: Final = "client-server-api/#"


class Locked(msgspec.Struct, frozen=True):
    """Whether an account is locked: its sessions wait, and nobody can log in."""

    locked: bool


class Suspended(msgspec.Struct, frozen=True):
    """Whether an account is suspended: it may read and leave, and not much else."""

    suspended: bool


@dataclass(frozen=True, slots=True)
class ServerAdministrationApi:
    """Endpoints for administrators. They are known to be such before an account is looked up."""

    moderation: Moderation

    @endpoint(
        "GET",
        "/_matrix/client/v1/admin/lock/{user_id}",
        auth=admin_token,
        spec=f"{_SPEC}get_matrixclientv1adminlockuserid",
    )
    async def locked(self, who: Requester, user_id: Path[UserID]) -> Locked:
        """Whether a user is locked."""
        return Locked((await self.moderation.account(user_id)).locked)

    @endpoint(
        "PUT",
        "/_matrix/client/v1/admin/lock/{user_id}",
        auth=admin_token,
        spec=f"{_SPEC}put_matrixclientv1adminlockuserid",
    )
    async def lock(self, who: Requester, user_id: Path[UserID], body: Body[Locked]) -> Locked:
        """Lock a user, or open the account again."""
        await self.moderation.account(user_id)
        await self.moderation.set_locked(user_id, body.locked)
        return body

    @endpoint(
        "GET",
        "/_matrix/client/v1/admin/suspend/{user_id}",
        auth=admin_token,
        spec=f"{_SPEC}get_matrixclientv1adminsuspenduserid",
    )
    async def suspended(self, who: Requester, user_id: Path[UserID]) -> Suspended:
        """Whether a user is suspended."""
        return Suspended((await self.moderation.account(user_id)).suspended)

    @endpoint(
        "PUT",
        "/_matrix/client/v1/admin/suspend/{user_id}",
        auth=admin_token,
        spec=f"{_SPEC}put_matrixclientv1adminsuspenduserid",
    )
    async def suspend(self, who: Requester, user_id: Path[UserID], body: Body[Suspended]) -> Suspended:
        """Suspend a user, or let them do everything again."""
        await self.moderation.account(user_id)
        await self.moderation.set_suspended(user_id, body.suspended)
        return body

    @endpoint(
        "GET",
        "/_matrix/client/{v3,r0}/admin/whois/{user_id}",
        auth=access_token,
        spec=f"{_SPEC}get_matrixclientv3adminwhoisuserid",
    )
    async def whois(self, who: Requester, user_id: Path[UserID]) -> dict[str, Any]:
        """From where somebody's devices were used: for themselves and for administrators."""
        devices = {
            each.device_id: {"sessions": [{"connections": [_shown(each)]}]}
            for each in await self.moderation.connections(who, user_id)
        }
        return {"user_id": user_id, "devices": devices}


def _shown(connection: Connection) -> dict[str, Any]:
    shown = {
        "ip": connection.ip,
        "last_seen": connection.last_seen,
        "user_agent": connection.user_agent,
    }
    return {name: value for name, value in shown.items() if value is not None}
