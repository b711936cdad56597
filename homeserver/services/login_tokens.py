"""Login tokens: somebody who is logged in lets another device log in as them. Each is good once, and for two minutes.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv1loginget_token
"""

from typing import Final

from homeserver.clock import Clock, Randomness
from homeserver.protocol.errors import Forbidden, UserLocked
from homeserver.protocol.identifiers import UserID
from homeserver.services.accounts import Accounts
from homeserver.services.tokens import LOGIN, is_token, new_token, token_hash
from storage.database import Database
from storage.tables.short_tokens import ShortTokens
from storage.transaction import Transaction

LIFETIME_MS: Final = 120_000


class LoginTokens:
    """Gives them and takes them."""

    def __init__(self, accounts: Accounts, database: Database, clock: Clock, random: Randomness) -> None:
        self._accounts = accounts
        self._database = database
        self._clock = clock
        self._random = random

    async def issue(self, user_id: UserID) -> str:
        """A new token of a user."""
        token, now = new_token(LOGIN, self._random), self._clock.now_ms()

        def store(tx: Transaction) -> None:
            ShortTokens(tx).expire(now)
            ShortTokens(tx).add(token_hash(token), LOGIN, user_id, now + LIFETIME_MS)

        await self._database.transact(store)
        return token

    async def redeem(self, token: str) -> UserID:
        """Whose a token is; it is good no more. Raises Forbidden, UserLocked."""
        now = self._clock.now_ms()
        found = None
        if is_token(LOGIN, token):
            found = await self._database.transact(
                lambda tx: ShortTokens(tx).take(token_hash(token), LOGIN, now)
            )
        if found is None:
            raise Forbidden("The login token is not good, or not any more")
        account = await self._accounts.account(found)
        if account.deactivated:
            raise Forbidden("The login token is not good, or not any more")
        if account.locked:
            raise UserLocked
        return found
