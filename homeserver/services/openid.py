"""OpenID tokens: by them other services (widgets, calls, integration managers) learn who a user is, and nothing else.

https://spec.matrix.org/v1.19/client-server-api/#openid
"""

from typing import Any, Final

from homeserver.clock import Clock, Randomness
from homeserver.protocol.errors import UnknownToken
from homeserver.protocol.identifiers import ServerName, UserID
from homeserver.services.tokens import OPENID, is_token, new_token, token_hash
from storage.database import Database
from storage.tables.short_tokens import ShortTokens
from storage.transaction import Transaction

LIFETIME_S: Final = 3600


class OpenID:
    """Gives tokens, and says whose they are."""

    def __init__(self, server_name: ServerName, database: Database, clock: Clock, random: Randomness) -> None:
        self._server_name = server_name
        self._database = database
        self._clock = clock
        self._random = random

    async def issue(self, user_id: UserID) -> dict[str, Any]:
        """A new token of a user."""
        token, now = new_token(OPENID, self._random), self._clock.now_ms()

        def store(tx: Transaction) -> None:
            ShortTokens(tx).expire(now)
            ShortTokens(tx).add(token_hash(token), OPENID, user_id, now + LIFETIME_S * 1000)

        await self._database.transact(store)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "matrix_server_name": self._server_name,
            "expires_in": LIFETIME_S,
        }

    async def user(self, token: str) -> UserID:
        """Whose a token is. Raises UnknownToken."""
        now = self._clock.now_ms()
        found = None
        if is_token(OPENID, token):
            found = await self._database.read(lambda tx: ShortTokens(tx).user(token_hash(token), OPENID, now))
        if found is None:
            raise UnknownToken("Access token unknown or expired")
        return found
