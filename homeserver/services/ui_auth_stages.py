"""The stages of user-interactive authentication that this server can run.

https://spec.matrix.org/v1.19/client-server-api/#authentication-types
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from homeserver.clock import Clock
from homeserver.protocol.errors import Forbidden, MissingParam
from homeserver.services.login import PasswordCheck
from homeserver.services.ui_auth import Operation, StageFailed
from storage.database import Database
from storage.tables.registration_tokens import RegistrationTokens

DUMMY = "m.login.dummy"
PASSWORD = "m.login.password"
REGISTRATION_TOKEN = "m.login.registration_token"


class DummyStage:
    """Always succeeds."""

    type: ClassVar[str] = DUMMY

    def params(self) -> dict[str, Any] | None:
        """Nothing is needed."""
        return None

    async def check(self, auth: Mapping[str, Any], operation: Operation) -> str:
        """Nothing is checked."""
        return ""


class PasswordStage:
    """The user's password. Finds out whose it was."""

    type: ClassVar[str] = PASSWORD

    def __init__(self, passwords: PasswordCheck) -> None:
        self._passwords = passwords

    def params(self) -> dict[str, Any] | None:
        """Nothing is needed."""
        return None

    async def check(self, auth: Mapping[str, Any], operation: Operation) -> str:
        """Check a password. Somebody else's right password is Forbidden, so that one cannot act for
        another.
        """
        try:
            account = await self._passwords.account(dict(auth))
        except Forbidden as error:
            raise StageFailed(error.errcode, error.message) from None
        if operation.user_id is not None and account.user_id != operation.user_id:
            raise Forbidden("You must authenticate as yourself")
        return account.user_id


class RegistrationTokenStage:
    """A token that permits a registration. It is used up only when the account is made."""

    type: ClassVar[str] = REGISTRATION_TOKEN

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def params(self) -> dict[str, Any] | None:
        """Nothing is needed."""
        return None

    async def check(self, auth: Mapping[str, Any], operation: Operation) -> str:
        """Check that the token could be used now."""
        token = auth.get("token")
        if token is None:
            raise MissingParam("Missing `token`")
        now = self._clock.now_ms()
        if (
            not isinstance(token, str)
            or "\0" in token
            or not await self._database.read(lambda tx: RegistrationTokens(tx).is_valid(token, now))
        ):
            raise StageFailed("M_UNAUTHORIZED", "Invalid registration token")
        return token
