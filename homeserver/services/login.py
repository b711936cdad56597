"""Logging in by password.

https://spec.matrix.org/v1.19/client-server-api/#legacy-login
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from homeserver.clock import Clock, Randomness
from homeserver.protocol.errors import BadJson, Forbidden, MissingParam, Unknown, UserDeactivated, UserLocked
from homeserver.protocol.identifiers import DeviceID, UserID, server_of
from homeserver.services.accounts import Accounts
from homeserver.services.devices import check_display_name
from homeserver.services.email_proofs import EMAIL
from homeserver.services.last_seen import Caller
from homeserver.services.passwords import Passwords
from homeserver.services.sessions import Pair, Sessions
from storage.database import Database
from storage.tables.access_tokens import AccessTokens
from storage.tables.devices import Devices as StoredDevices
from storage.tables.threepids import Threepids
from storage.tables.users import Account, Users
from storage.transaction import Transaction

_DEVICE_ID_LETTERS = 10


class FailureLimit(Protocol):
    """Counts the failures of each account."""

    def check(self, key: str) -> object:
        """Count nothing. Raises LimitExceeded where there were too many."""

    def take(self, key: str) -> None:
        """Count a failure. Raises LimitExceeded."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """What the client asks for: the device to log in, and tokens of which kind; and where it is, if that is known."""

    device_id: DeviceID | None = None
    display_name: str | None = None
    refreshable: bool = False
    caller: Caller | None = None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A user with new tokens on a device."""

    user_id: UserID
    device_id: DeviceID
    tokens: Pair

    def answer(self) -> dict[str, object]:
        """The answer to a login or a registration."""
        return {
            "user_id": self.user_id,
            "device_id": self.device_id,
            "home_server": server_of(self.user_id),
            **self.tokens.answer(),
        }


class PasswordCheck:
    """Tells users by their password, and how often that may be tried."""

    def __init__(
        self, accounts: Accounts, passwords: Passwords, database: Database, failures: FailureLimit | None
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._database = database
        self._failures = failures

    async def account(self, credentials: dict[str, Any]) -> Account:
        """The account whose identifier and password these are.

        Raises Forbidden, in the same time and words for a wrong password and an unknown user; MissingParam,
        BadJson, Unknown for credentials that cannot be read; LimitExceeded.
        """
        identifier = identifier_of(credentials)
        password = credentials.get("password")
        if password is None:
            raise MissingParam("Missing `password`")
        if not isinstance(password, str):
            raise BadJson("`password` must be a text")
        found = await self._named(identifier)
        key = identifier.name.lower() if found is None else found.user_id
        if self._failures is not None:
            self._failures.check(key)
        stored = None if found is None else found.password_hash
        verdict = await self._passwords.check(password, stored)
        if found is None or not verdict.right:
            if self._failures is not None:
                self._failures.take(key)
            raise Forbidden("Invalid username or password")
        if verdict.rehashed is not None and stored is not None:
            await self._replace_hash(found.user_id, verdict.rehashed, stored)
        return found

    async def _named(self, identifier: "Identifier") -> Account | None:
        """The account that somebody means. Only e-mail addresses are known beside users' names."""
        if identifier.medium is None:
            return await self._accounts.named(identifier.name)
        if identifier.medium != EMAIL:
            return None
        address = identifier.name.lower()
        owner = await self._database.read(lambda tx: Threepids(tx).owner(EMAIL, address))
        return None if owner is None else await self._accounts.named(owner)

    async def _replace_hash(self, user_id: UserID, rehashed: str, stored: str) -> None:
        await self._database.transact(lambda tx: Users(tx).replace_password_hash(user_id, rehashed, stored))


SessionStarted = Callable[[UserID, Sequence[DeviceID]], Awaitable[None]]


class Login:
    """Starts sessions."""

    def __init__(
        self, check: PasswordCheck, sessions: Sessions, database: Database, clock: Clock, random: Randomness
    ) -> None:
        self._check = check
        self._sessions = sessions
        self._database = database
        self._clock = clock
        self._random = random
        self._started: list[SessionStarted] = []

    def when_started(self, started: SessionStarted) -> None:
        """Call with each new device of a user who was here before."""
        self._started.append(started)

    async def by_password(self, credentials: dict[str, Any], wanted: NewSession) -> LoggedIn:
        """Start a session for whoever knows the password.

        Raises as `PasswordCheck.account`, and UserLocked.
        """
        account = await self._check.account(credentials)
        if account.locked:
            raise UserLocked
        return await self.start(account.user_id, wanted)

    async def start(self, user_id: UserID, wanted: NewSession) -> LoggedIn:
        """Start a session for a user who proved to be that."""
        logged_in = self.prepare(user_id, wanted)

        def run(tx: Transaction) -> tuple[bool, list[bytes]]:
            if not Users(tx).lock_active(user_id):
                raise UserDeactivated  # since the password was checked
            known = StoredDevices(tx).device(user_id, logged_in.device_id) is not None
            return known, self.store(tx, logged_in, wanted)

        known, dead = await self._database.transact(run)
        self._sessions.forget(dead)
        for started in () if known else self._started:
            await started(user_id, [logged_in.device_id])
        return logged_in

    def prepare(self, user_id: UserID, wanted: NewSession) -> LoggedIn:
        """Choose tokens and perhaps a device, for `store`. Raises InvalidParam for an absurd device name."""
        if wanted.display_name is not None:
            check_display_name(wanted.display_name)
        device_id = wanted.device_id or DeviceID(self._random.letters(_DEVICE_ID_LETTERS).upper())
        return LoggedIn(user_id, device_id, self._sessions.mint(refreshable=wanted.refreshable))

    def store(self, tx: Transaction, logged_in: LoggedIn, wanted: NewSession) -> list[bytes]:
        """Store a session in the caller's transaction; returns the hashes of the tokens that it supersedes."""
        user_id, device_id = logged_in.user_id, logged_in.device_id
        caller = wanted.caller
        created = StoredDevices(tx).enter(
            user_id,
            device_id,
            wanted.display_name,
            self._clock.now_ms(),
            None if caller is None else caller.address,
            None if caller is None else caller.storable_user_agent,
        )
        dead = [] if created else AccessTokens(tx).delete_of_devices(user_id, [device_id])
        self._sessions.store(tx, logged_in.tokens, user_id, device_id)
        return dead


@dataclass(frozen=True, slots=True)
class Identifier:
    """Whom somebody says they are: by user ID or localpart (``medium`` is None), or by an identifier elsewhere."""

    medium: str | None
    name: str


def identifier_of(credentials: dict[str, Any]) -> Identifier:
    """Read a user identifier, or the deprecated fields in its place. Raises BadJson, MissingParam, Unknown.

    https://spec.matrix.org/v1.19/client-server-api/#identifier-types
    """
    identifier = credentials.get("identifier")
    if identifier is None:
        identifier = {"type": "m.id.user", "user": credentials.get("user")}
        if credentials.get("address") is not None:
            identifier = {**credentials, "type": "m.id.thirdparty"}
    if not isinstance(identifier, dict):
        raise BadJson("`identifier` must be an object")
    kind = identifier.get("type")
    if kind == "m.id.user":
        return Identifier(None, _text(identifier, "user"))
    if kind == "m.id.thirdparty":
        return Identifier(_text(identifier, "medium"), _text(identifier, "address"))
    if kind == "m.id.phone":
        return Identifier("msisdn", _text(identifier, "phone"))
    raise (
        Unknown("Unknown identifier type")
        if isinstance(kind, str)
        else MissingParam("Missing `identifier.type`")
    )


def _text(identifier: dict[str, Any], name: str) -> str:
    value = identifier.get(name)
    if value is None:
        raise MissingParam(f"Missing `identifier.{name}`")
    if not isinstance(value, str) or "\0" in value:
        raise BadJson(f"`identifier.{name}` must be a text")
    return value
