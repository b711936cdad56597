"""Registering accounts.

https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import structlog

from homeserver.clock import Clock, Randomness
from homeserver.protocol.errors import BadJson, Forbidden, InvalidParam, MissingParam, Unauthorized, UserInUse
from homeserver.protocol.identifiers import DeviceID, UserID, parse_device_id
from homeserver.services.accounts import Accounts, NewAccount
from homeserver.services.last_seen import Caller
from homeserver.services.login import LoggedIn, Login, NewSession
from homeserver.services.passwords import Passwords
from homeserver.services.sessions import Sessions
from homeserver.services.threepids import EMAIL_IDENTITY, Threepids, registered_proof
from homeserver.services.ui_auth import Flow, Operation, Proof, UiAuth
from homeserver.services.ui_auth_stages import DUMMY, REGISTRATION_TOKEN
from storage.database import Database
from storage.tables.registration_tokens import RegistrationTokens
from storage.tables.ui_auth import UiAuthSessions
from storage.tables.users import Users
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

Mode = Literal["open", "token", "closed"]
Emails = Literal["none", "welcome", "needed"]
"""Whether people give an e-mail address when they register."""

_FLOWS: Mapping[Mode, tuple[Flow, ...]] = {
    "open": ((DUMMY,),),
    "token": ((REGISTRATION_TOKEN,),),
    "closed": (),
}
_GENERATED_LETTERS = 12


class Wishes(msgspec.Struct, frozen=True):
    """The body of a registration, its `auth` aside."""

    username: str | None = None
    password: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    inhibit_login: bool = False
    refresh_token: bool = False
    guest_access_token: str | None = None

    def session(self, caller: Caller) -> NewSession | None:
        """The session to start, if any. Raises InvalidParam."""
        if self.inhibit_login:
            return None
        device_id: DeviceID | None = parse_device_id(self.device_id) if self.device_id else None
        return NewSession(device_id, self.initial_device_display_name, self.refresh_token, caller)


@dataclass(frozen=True, slots=True)
class Registered:
    """A new account, logged in unless the client did not want that."""

    user_id: UserID
    logged_in: LoggedIn | None


class _AlreadyDone(Exception):
    """The session registered an account in the meantime."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may register."""

    mode: Mode
    guests: bool
    emails: Emails = "none"

    @property
    def flows(self) -> tuple[Flow, ...]:
        """The ways to register. An address stands in for the dummy."""
        plain = _FLOWS[self.mode]
        if self.emails == "none":
            return plain
        proven = tuple((*(stage for stage in flow if stage != DUMMY), EMAIL_IDENTITY) for flow in plain)
        return proven if self.emails == "needed" else (*plain, *proven)


@dataclass(frozen=True, slots=True)
class Parts:
    """What registering needs of others."""

    accounts: Accounts
    login: Login
    passwords: Passwords
    ui_auth: UiAuth
    sessions: Sessions
    threepids: Threepids


class Registration:
    """Makes accounts for whoever may have one."""

    def __init__(
        self, policy: Policy, parts: Parts, database: Database, clock: Clock, random: Randomness
    ) -> None:
        self._mode: Mode = policy.mode
        self._guests = policy.guests
        self._flows = policy.flows
        self._threepids = parts.threepids
        self._accounts = parts.accounts
        self._login = parts.login
        self._passwords = parts.passwords
        self._ui_auth = parts.ui_auth
        self._sessions = parts.sessions
        self._database = database
        self._clock = clock
        self._random = random

    async def register(self, operation: Operation, auth: object, caller: Caller) -> Registered:
        """Register an account, once a flow is completed.

        A repeated request with a session that registered an account logs in to that account. Raises
        InteractiveAuthRequired, Forbidden, UserInUse, InvalidUsername, WeakPassword, MissingParam and what
        else is wrong with the body.
        """
        self.check_open()
        remembered, result = await self._ui_auth.peek(auth)
        if result is None:
            await self._check(_wishes(operation.body or remembered), caller)
        proof = await self._ui_auth.prove(operation, auth, self._flows, keep=True)
        wishes = _wishes(proof.body)
        if proof.result is not None:
            return await self._again(proof.result, wishes, caller)
        try:
            return await self._create(wishes, proof, caller)
        except _AlreadyDone:
            _, done = await self._ui_auth.peek(auth)
            if done is None:
                raise Forbidden("This session has ended") from None
            return await self._again(done, wishes, caller)

    async def register_guest(self, display_name: str | None, caller: Caller) -> LoggedIn:
        """Make a guest account, logged in. Raises Forbidden where there are none, InvalidParam.

        https://spec.matrix.org/v1.19/client-server-api/#guest-access
        """
        if not self._guests:
            raise Forbidden("Guest accounts are not offered")
        user_id = self._accounts.new_user_id(f"guest-{self._random.letters(_GENERATED_LETTERS)}")
        wanted = NewSession(display_name=display_name, caller=caller)
        logged_in = self._login.prepare(user_id, wanted)

        def create(tx: Transaction) -> None:
            self._accounts.insert(tx, NewAccount(user_id, None, is_guest=True), None)
            self._login.store(tx, logged_in, wanted)

        await self._database.transact(create)
        return logged_in

    def check_open(self) -> None:
        """Raises Forbidden where nobody may register."""
        if self._mode == "closed":
            raise Forbidden("Registration is disabled")

    async def check_username(self, username: str) -> None:
        """Raises InvalidUsername, UserInUse."""
        await self._accounts.available_user_id(username)

    async def is_token_valid(self, token: str) -> bool:
        """Whether a registration token could be used now. Raises Forbidden where registration is closed."""
        self.check_open()
        now = self._clock.now_ms()
        return bool(await self._database.read(lambda tx: RegistrationTokens(tx).is_valid(token, now)))

    async def _check(self, wishes: Wishes, caller: Caller) -> None:
        """What is wrong is said before the user goes through the stages."""
        if wishes.guest_access_token is not None:
            await self._guest(wishes)
        elif wishes.username is not None:
            await self.check_username(wishes.username)
        if wishes.password is not None:
            self._passwords.check_policy(wishes.password)
        wishes.session(caller)

    async def _create(self, wishes: Wishes, proof: Proof, caller: Caller) -> Registered:
        if wishes.password is None:
            raise MissingParam("Missing `password`")
        username = wishes.username or self._random.letters(_GENERATED_LETTERS)
        guest = None if wishes.guest_access_token is None else await self._guest(wishes)
        account = NewAccount(guest or self._accounts.new_user_id(username), wishes.password)
        hashed = await self._passwords.hash(wishes.password)
        wanted = wishes.session(caller)
        logged_in = None if wanted is None else self._login.prepare(account.user_id, wanted)

        def create(tx: Transaction) -> None:
            if proof.id_hash is not None and not UiAuthSessions(tx).finish(proof.id_hash, account.user_id):
                raise _AlreadyDone
            if guest is None:
                self._accounts.insert(tx, account, hashed)
            elif not Users(tx).promote_guest(guest, hashed):
                raise UserInUse
            self._use_token(tx, proof)
            if EMAIL_IDENTITY in proof.findings:
                email = registered_proof(proof.findings[EMAIL_IDENTITY])
                self._threepids.store(tx, account.user_id, email)
            if logged_in is not None and wanted is not None:
                self._login.store(tx, logged_in, wanted)

        await self._database.transact(create)
        if guest is not None:
            await self._sessions.forget_user(guest)
        log.info("account registered", user=account.user_id, was_guest=guest is not None)
        return Registered(account.user_id, logged_in)

    async def _guest(self, wishes: Wishes) -> UserID:
        """The guest who wants to become a user, and keeps their name. Raises UnknownToken, Forbidden, UserInUse.

        https://spec.matrix.org/v1.19/client-server-api/#guest-access
        """
        guest = await self._sessions.requester(wishes.guest_access_token or "")
        if not guest.is_guest:
            raise Forbidden("The token is not one of a guest")
        if wishes.username is not None and self._accounts.new_user_id(wishes.username) != guest.user_id:
            raise UserInUse("A guest who registers keeps their user ID")
        return guest.user_id

    def _use_token(self, tx: Transaction, proof: Proof) -> None:
        token = proof.findings.get(REGISTRATION_TOKEN)
        if token is not None and not RegistrationTokens(tx).use(token, self._clock.now_ms()):
            raise Unauthorized("The registration token has been used up")

    async def _again(self, user_id: UserID, wishes: Wishes, caller: Caller) -> Registered:
        wanted = wishes.session(caller)
        return Registered(user_id, None if wanted is None else await self._login.start(user_id, wanted))


def _wishes(body: Mapping[str, Any]) -> Wishes:
    try:
        wishes = msgspec.convert(body, Wishes)
    except msgspec.ValidationError as error:
        raise BadJson(str(error)) from None
    if any("\0" in text for text in (wishes.username, wishes.device_id) if text):
        raise InvalidParam("A NUL character is not allowed")
    return wishes
