"""Registration tokens, as an administrator handles them.

https://spec.matrix.org/v1.19/client-server-api/#token-authenticated-registration
"""

import re

from homeserver.clock import Clock, Randomness
from homeserver.protocol.errors import InvalidParam, NotFound
from storage.database import Database
from storage.tables.registration_tokens import RegistrationToken as RegistrationToken
from storage.tables.registration_tokens import RegistrationTokens as StoredTokens

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_TOKEN_BYTES = 12


class RegistrationTokens:
    """Makes, lists and deletes tokens. Using them up is part of registering."""

    def __init__(self, database: Database, clock: Clock, random: Randomness) -> None:
        self._database = database
        self._clock = clock
        self._random = random

    async def create(self, token: str | None, uses_allowed: int | None, valid_for_ms: int | None) -> str:
        """Make a token, a random one unless it is given, and return it. None is without limit.

        Raises InvalidParam for what is not of the opaque identifier grammar or exists already.
        """
        token = token or self._random.token(_TOKEN_BYTES)
        if not _TOKEN.fullmatch(token):
            raise InvalidParam("A token has up to 64 of the characters A-Z, a-z, 0-9 and ._~-")
        if uses_allowed is not None and uses_allowed < 1:
            raise InvalidParam("A token has to be good for one use at least")
        now = self._clock.now_ms()
        until = None if valid_for_ms is None else now + valid_for_ms
        chosen = token
        if not await self._database.transact(
            lambda tx: StoredTokens(tx).create(chosen, uses_allowed, until, now)
        ):
            raise InvalidParam("There is such a token already")
        return token

    async def delete(self, token: str) -> None:
        """Delete a token. Raises NotFound."""
        if not await self._database.transact(lambda tx: StoredTokens(tx).delete(token)):
            raise NotFound("There is no such token")

    async def all(self) -> list[RegistrationToken]:
        """All tokens, used up and expired ones too."""
        return await self._database.read(lambda tx: StoredTokens(tx).all())
