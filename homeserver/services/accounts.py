"""Accounts: making them, finding them, changing their password and closing them.

https://spec.matrix.org/v1.19/client-server-api/#account-management
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from homeserver.clock import Clock
from homeserver.protocol.errors import Forbidden, InvalidUsername, NotFound, UserInUse
from homeserver.protocol.identifiers import (
    ServerName,
    UserID,
    is_user_id,
    localpart_of,
    server_of,
    validate_new_localpart,
)
from homeserver.protocol.requester import Requester
from homeserver.services.devices import Devices
from homeserver.services.passwords import Passwords
from homeserver.services.rooms.detached import detach
from storage.database import Database
from storage.journal import Changes, Journal, RunResult, Write
from storage.tables.account_data import AccountData
from storage.tables.media_uses import MediaErasures
from storage.tables.profiles import Profiles
from storage.tables.users import Account as Account
from storage.tables.users import Users
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

NOTICES: Final = "notices"
"""The `user_type` of the account from which server notices come."""

UserDeparted = Callable[[UserID], Awaitable[None]]
"""Does what the closing of an account asks for. May be called again for a user for whom part of it is done."""


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to make."""

    user_id: UserID
    password: str | None
    is_admin: bool = False
    is_guest: bool = False
    user_type: str | None = None


class Accounts:
    """What can be done with accounts as such."""

    def __init__(
        self,
        server_name: ServerName,
        database: Database,
        journal: Journal,
        devices: Devices,
        passwords: Passwords,
        clock: Clock,
        notices_user: UserID | None = None,
    ) -> None:
        """``notices_user`` is a name that people cannot have (see `services.notice_sender`)."""
        self._server_name = server_name
        self._database = database
        self._journal = journal
        self._devices = devices
        self._passwords = passwords
        self._clock = clock
        self._notices_user = notices_user
        self._closed: list[UserDeparted] = []
        self._departed: list[UserDeparted] = []
        self._erased: list[Callable[[UserID], None]] = []

    def when_closed(self, closed: UserDeparted) -> None:
        """Connect what is to be gone before the closing of an account is answered, and before others see the user
        leave.
        """
        self._closed.append(closed)

    def when_deactivated(self, departed: UserDeparted) -> None:
        """Connect what takes a deactivated user out of their rooms."""
        self._departed.append(departed)

    def when_erased(self, listener: Callable[[UserID], None]) -> None:
        """Call with each user who was closed and erased, before that is answered."""
        self._erased.append(listener)

    def new_user_id(self, username: str) -> UserID:
        """The ID that registering this name gives, in lower case. Raises InvalidUsername."""
        localpart = username
        if is_user_id(username) and server_of(username) == self._server_name:
            localpart = username[1:].partition(":")[0]
        localpart = localpart.lower()
        validate_new_localpart(localpart, self._server_name)
        if localpart.startswith("_"):
            raise InvalidUsername("User IDs that start with an underscore are kept for application services")
        return UserID(f"@{localpart}:{self._server_name}")

    async def available_user_id(self, username: str) -> UserID:
        """The ID that registering this name gives.

        Raises InvalidUsername, UserInUse. IDs of deactivated accounts are never given again.
        """
        user_id = self.new_user_id(username)
        taken = await self._database.read(lambda tx: Users(tx).is_taken(user_id))
        if taken or user_id == self._notices_user:
            raise UserInUse
        return user_id

    def insert(self, tx: Transaction, account: NewAccount, password_hash: str | None) -> None:
        """Make an account within the caller's transaction, named by its localpart until its owner says otherwise.

        Raises UserInUse.
        """
        if account.user_id == self._notices_user and account.user_type != NOTICES:
            raise UserInUse
        users = Users(tx)
        if users.is_taken(account.user_id) or not users.create(
            account.user_id,
            password_hash,
            self._clock.now_ms(),
            is_admin=account.is_admin,
            is_guest=account.is_guest,
            user_type=account.user_type,
        ):
            raise UserInUse
        Profiles(tx).put(account.user_id, localpart_of(account.user_id), None, b"{}")

    async def create(self, account: NewAccount) -> None:
        """Make an account. Raises UserInUse, WeakPassword."""
        hashed = None
        if account.password is not None:
            self._passwords.check_policy(account.password)
            hashed = await self._passwords.hash(account.password)
        await self._database.transact(lambda tx: self.insert(tx, account, hashed))

    async def account(self, user_id: UserID) -> Account:
        """One account of this server. Raises NotFound."""
        found = await self._database.read(lambda tx: Users(tx).account(user_id))
        if found is None:
            raise NotFound("User not found")
        return found

    async def named(self, name: str) -> Account | None:
        """The account that somebody means who logs in by a user ID or a localpart; in any case if that is
        unambiguous.
        """
        user_id = UserID(name if is_user_id(name) else f"@{name}:{self._server_name}")
        if server_of(user_id) != self._server_name or not is_user_id(user_id):
            return None
        found = await self._database.read(lambda tx: Users(tx).accounts_in_any_case(user_id))
        exact = [account for account in found if account.user_id == user_id]
        if exact or len(found) != 1:
            return exact[0] if exact else None
        return found[0]

    async def page(self, after: str, count: int) -> list[Account]:
        """Up to `count` accounts by user ID, after one of them; from the first after an empty text."""
        return await self._database.read(lambda tx: Users(tx).page(after, count))

    async def set_password(
        self, user_id: UserID, password: str, *, log_out: bool, keep: Requester | None = None
    ) -> None:
        """Change a password; `log_out` ends all sessions but the one of `keep`.

        Raises WeakPassword, Forbidden.
        """
        self._passwords.check_policy(password)
        hashed = await self._passwords.hash(password)
        if not await self._database.transact(lambda tx: Users(tx).set_password_hash(user_id, hashed)):
            raise Forbidden("This account has no password")
        if log_out:
            await self._devices.remove_others(user_id, keep)

    async def deactivate(self, user_id: UserID, *, erase: bool) -> None:
        """Close an account for ever; with `erase` also its account data goes, and after a while its files. Does
        nothing to one that is closed.
        """

        def close(tx: Transaction) -> RunResult[bool]:
            closed = Users(tx).deactivate(user_id, erase) > 0
            if closed:
                Profiles(tx).delete(user_id)
            if closed and erase:
                AccountData(tx).delete_all(user_id)
                MediaErasures(tx).add(user_id, self._clock.now_ms())
            return RunResult(closed)

        write: Write[bool] = Write(run=close, changes=Changes(users=frozenset((user_id,))))
        done = await self._journal.write(write)
        if done.value:
            log.info("account deactivated", user=user_id, erase=erase)
            for listener in self._erased if erase else ():
                listener(user_id)
            await self._strip(user_id)
            detach("departure of a deactivated user", self._depart(user_id), user=user_id)

    async def resume_departures(self) -> None:
        """Go on with taking deactivated users out of their rooms, after a restart."""
        for user_id in await self._database.read(lambda tx: Users(tx).departing()):
            try:
                await self._strip(user_id)
            except Exception:
                log.exception("not all of a deactivated user is gone yet", user=user_id)
            else:
                await self._depart(user_id)

    async def _strip(self, user_id: UserID) -> None:
        await self._devices.remove_others(user_id, None)
        for closed in self._closed:
            await closed(user_id)

    async def _depart(self, user_id: UserID) -> None:
        if not self._departed:
            return
        done = True
        for departed in self._departed:
            try:
                await departed(user_id)
            except Exception:
                log.exception("a deactivated user is not out of all rooms yet", user=user_id)
                done = False
        if done:
            await self._database.transact(lambda tx: Users(tx).departed(user_id))
