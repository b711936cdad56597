"""Whether a user takes invites. https://spec.matrix.org/v1.19/client-server-api/#invite-permission"""

from collections.abc import Iterable

from homeserver.protocol.canonical_json import decode
from homeserver.protocol.errors import InviteBlocked
from homeserver.protocol.identifiers import ServerName, UserID, server_of
from storage.database import Database
from storage.tables.account_data import AccountData
from storage.transaction import Transaction

_CONFIG = "m.invite_permission_config"


class InvitePermission:
    """Reads what local users decided; users of other servers are asked by their servers."""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

    async def check(self, users: Iterable[UserID]) -> None:
        """Raises InviteBlocked if a local user among them takes no invites."""
        local = [user_id for user_id in users if server_of(user_id) == self._server_name]
        if not local:
            return
        blocked = await self._database.read(lambda tx: _some_block(tx, local))
        if blocked:
            raise InviteBlocked


def _some_block(tx: Transaction, users: list[UserID]) -> bool:
    return any(_blocks(tx, user_id) for user_id in users)


def _blocks(tx: Transaction, user_id: UserID) -> bool:
    stored = AccountData(tx).content(user_id, "", _CONFIG)
    config = {} if stored is None else decode(bytes(stored))
    return isinstance(config, dict) and config.get("default_action") == "block"
