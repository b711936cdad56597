"""Whose invites users take. https://spec.matrix.org/v1.19/client-server-api/#invite-permission"""

from collections.abc import Collection, Iterable
from typing import Any

from homeserver.protocol.canonical_json import decode
from homeserver.protocol.errors import InviteBlocked
from homeserver.protocol.identifiers import ServerName, UserID, server_of
from homeserver.protocol.invite_rules import PERMISSION, RULES, Verdict, verdict_on
from storage.database import Database
from storage.tables.account_data import AccountData
from storage.tables.server_notices import NoticeRooms
from storage.transaction import Transaction

DECISIVE = frozenset(("m.ignored_user_list", PERMISSION, RULES))
"""The account data by which invites are shown or hidden."""


class InvitePermission:
    """Reads what local users decided; users of other servers are asked by their servers."""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

    async def check(self, inviter: UserID, users: Iterable[UserID]) -> None:
        """Raises InviteBlocked if a local user among them takes no invites of this one."""
        local = [user_id for user_id in users if server_of(user_id) == self._server_name]
        if not local:
            return
        blocked = await self._database.read(
            lambda tx: any(invite_verdict(tx, user_id, inviter) == "block" for user_id in local)
        )
        if blocked:
            raise InviteBlocked


def invite_verdict(tx: Transaction, user_id: UserID, inviter: UserID) -> Verdict:
    """What becomes of an invite to a local user."""
    return verdict_on(inviter, _content(tx, user_id, PERMISSION), _content(tx, user_id, RULES))


def unwanted_inviters(tx: Transaction, user_id: UserID, inviters: Collection[UserID]) -> frozenset[UserID]:
    """Those of some users whose invites a local user is not to see: not even those that were there before they blocked
    or ignored them. What the server itself has to say cannot be blocked.
    """
    permission, rules = _content(tx, user_id, PERMISSION), _content(tx, user_id, RULES)
    hidden = frozenset(each for each in inviters if verdict_on(each, permission, rules) != "allow")
    return hidden.difference(NoticeRooms(tx).senders(user_id)) if hidden else hidden


def _content(tx: Transaction, user_id: UserID, type_: str) -> Any:
    stored = AccountData(tx).content(user_id, "", type_)
    return {} if stored is None else decode(bytes(stored))
