"""What administrators do to accounts: locking, suspending and appointing users, and looking where they come from.

https://spec.matrix.org/v1.19/client-server-api/#server-administration
"""

from collections.abc import Callable
from dataclasses import dataclass

from homeserver.protocol.errors import Forbidden, InvalidParam, NotFound
from homeserver.protocol.identifiers import DeviceID, ServerName, UserID, server_of
from homeserver.protocol.requester import Requester
from homeserver.services.sessions import Sessions
from storage.database import Database
from storage.tables.devices import Devices, SeenDevice
from storage.tables.users import Account, Users
from storage.transaction import Transaction

__all__ = ["Connection", "Moderation"]


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a device was last seen; ``last_seen`` is in milliseconds since the epoch."""

    device_id: DeviceID
    ip: str | None
    last_seen: int | None
    user_agent: str | None


class Moderation:
    """Judges who may do what to whom, and does it."""

    def __init__(self, server_name: ServerName, database: Database, sessions: Sessions) -> None:
        self._server_name = server_name
        self._database = database
        self._sessions = sessions

    async def account(self, user_id: UserID) -> Account:
        """The account of a user whom administrators may moderate. Raises InvalidParam for one of another server,
        NotFound for one who is not here (any more), Forbidden for another administrator.
        """
        if server_of(user_id) != self._server_name:
            raise InvalidParam("The user is not of this server")
        account = await self._database.read(lambda tx: Users(tx).account(user_id))
        if account is None or account.deactivated:
            raise NotFound("User not found")
        if account.is_admin:
            raise Forbidden("Administrators are not moderated")
        return account

    async def set_locked(self, user_id: UserID, locked: bool) -> None:
        """https://spec.matrix.org/v1.19/client-server-api/#account-locking. Raises NotFound."""
        await self._change(user_id, lambda tx: Users(tx).set_locked(user_id, locked))

    async def set_suspended(self, user_id: UserID, suspended: bool) -> None:
        """https://spec.matrix.org/v1.19/client-server-api/#account-suspension. Raises NotFound."""
        await self._change(user_id, lambda tx: Users(tx).set_suspended(user_id, suspended))

    async def set_admin(self, user_id: UserID, is_admin: bool) -> None:
        """Let a user administer this server, or not. Raises NotFound."""
        await self._change(user_id, lambda tx: Users(tx).set_admin(user_id, is_admin))

    async def connections(self, who: Requester, user_id: UserID) -> list[Connection]:
        """From where a user's devices were used. Raises Forbidden for who is neither that user nor an administrator,
        NotFound.
        """
        if who.user_id != user_id and not who.is_admin:
            raise Forbidden("You are not a server admin")

        def read(tx: Transaction) -> tuple[Account | None, list[SeenDevice]]:
            return Users(tx).account(user_id), Devices(tx).seen(user_id)

        account, devices = await self._database.read(read)
        if account is None:
            raise NotFound("User not found")
        return [
            Connection(each.device_id, each.last_seen_ip, each.last_seen_ts, each.last_seen_user_agent)
            for each in devices
        ]

    async def _change(self, user_id: UserID, change: Callable[[Transaction], int]) -> None:
        if not await self._database.transact(change):
            raise NotFound("User not found")
        await self._sessions.forget_user(user_id)
