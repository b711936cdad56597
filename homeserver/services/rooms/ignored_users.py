"""Whom a user ignores. https://spec.matrix.org/v1.19/client-server-api/#ignoring-users"""

import orjson

from homeserver.protocol.identifiers import UserID
from storage.tables.account_data import AccountData
from storage.transaction import Transaction

_LIST = "m.ignored_user_list"


def ignored_by(tx: Transaction, user_id: UserID) -> frozenset[UserID]:
    """Those whose message events are kept from a local user."""
    content = AccountData(tx).content(user_id, "", _LIST)
    users = orjson.loads(content).get("ignored_users") if content else None
    return frozenset(users) if isinstance(users, dict) else frozenset()
