"""Registering accounts by a secret that the server shares with an administrator's tools.

The client takes a nonce and sends the account with a MAC: HMAC-SHA1, by the shared secret, of the nonce, the
username, the password and `admin` or `notadmin` (and the user type if there is one), joined by NUL bytes. This is the
protocol of the tools that people use with Synapse.
"""

import hashlib
import hmac
from dataclasses import dataclass

from homeserver.clock import Clock, Randomness
from homeserver.protocol.errors import Forbidden, InvalidParam, Unknown
from homeserver.services.accounts import Accounts, NewAccount
from homeserver.services.last_seen import Caller
from homeserver.services.login import LoggedIn, Login, NewSession
from storage.database import Database
from storage.tables.registration_tokens import RegistrationNonces
from storage.transaction import Transaction

NONCE_LIFETIME_MS = 60_000
_NONCE_BYTES = 48


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """An account to make, with its MAC in hexadecimal."""

    nonce: str
    username: str
    password: str
    mac: str
    is_admin: bool = False
    user_type: str | None = None

    def expected_mac(self, secret: str) -> str:
        """The MAC that this request should have."""
        parts = [self.nonce, self.username, self.password, "admin" if self.is_admin else "notadmin"]
        if self.user_type is not None:
            parts.append(self.user_type)
        return hmac.new(secret.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()


class SharedSecretRegistration:
    """Makes accounts for whoever knows the secret; there is no such way without one."""

    def __init__(
        self,
        secret: str | None,
        accounts: Accounts,
        login: Login,
        database: Database,
        clock: Clock,
        random: Randomness,
    ) -> None:
        self._secret = secret
        self._accounts = accounts
        self._login = login
        self._database = database
        self._clock = clock
        self._random = random

    async def nonce(self) -> str:
        """Return a nonce, good for one minute and one request. Raises Unknown where there is no secret."""
        self._known_secret()
        nonce = self._random.token(_NONCE_BYTES)
        now = self._clock.now_ms()

        def add(tx: Transaction) -> None:
            RegistrationNonces(tx).expire(now - NONCE_LIFETIME_MS)
            RegistrationNonces(tx).add(nonce, now)

        await self._database.transact(add)
        return nonce

    async def register(self, request: SignedRequest, caller: Caller) -> LoggedIn:
        """Make an account and log in.

        Raises Unknown for a nonce that was not given or was used, Forbidden for a wrong MAC, and what
        `Accounts.create` raises.
        """
        secret = self._known_secret()
        if "\0" in request.nonce + request.username + request.password + (request.user_type or ""):
            raise InvalidParam("A NUL character is not allowed")
        since = self._clock.now_ms() - NONCE_LIFETIME_MS
        if not await self._database.transact(lambda tx: RegistrationNonces(tx).use(request.nonce, since)):
            raise Unknown("Unrecognised nonce")
        expected = request.expected_mac(secret)
        if not hmac.compare_digest(expected.encode(), request.mac.lower().encode()):
            raise Forbidden("HMAC incorrect")
        user_id = self._accounts.new_user_id(request.username)
        await self._accounts.create(
            NewAccount(user_id, request.password, request.is_admin, user_type=request.user_type)
        )
        return await self._login.start(user_id, NewSession(caller=caller))

    def _known_secret(self) -> str:
        if not self._secret:
            raise Unknown("Registration by shared secret is not enabled")
        return self._secret
