"""The accounts of this server."""

from msgspec import Struct

from homeserver.protocol.identifiers import UserID
from storage.query import Queries, affected, many, maybe, query


class Account(Struct, frozen=True):
    """One account. Times are in milliseconds since the epoch."""

    user_id: UserID
    password_hash: str | None
    created_ts: int
    is_admin: bool
    is_guest: bool
    appservice_id: str | None
    locked: bool
    suspended: bool
    deactivated: bool
    erased: bool


class Users(Queries):
    """Reads and writes accounts."""

    @query(
        """insert into users (user_id, password_hash, created_ts, is_admin, is_guest, appservice_id, user_type)
           values (%(user_id)s, %(password_hash)s, %(created_ts)s, %(is_admin)s, %(is_guest)s,
           %(appservice_id)s, %(user_type)s)
           on conflict (user_id) do nothing""",
        affected,
    )
    def create(
        self,
        user_id: UserID,
        password_hash: str | None,
        created_ts: int,
        is_admin: bool = False,
        is_guest: bool = False,
        appservice_id: str | None = None,
        user_type: str | None = None,
    ) -> int: ...

    @query(
        """with stale as (insert into user_directory_stale (user_id) values (%(user_id)s)
             on conflict (user_id) do update set user_id = excluded.user_id)
           update users set is_guest = false, password_hash = %(password_hash)s
           where user_id = %(user_id)s and is_guest and not deactivated""",
        affected,
    )
    def promote_guest(self, user_id: UserID, password_hash: str | None) -> int:
        """Make a guest a user like others, whom the directory of users has too."""

    @query(
        """select user_id, password_hash, created_ts, is_admin, is_guest, appservice_id,
                  locked, suspended, deactivated, erased
           from users where user_id = %(user_id)s""",
        maybe(Account),
    )
    def account(self, user_id: UserID) -> Account | None: ...

    @query("select coalesce(user_type, '') from users where user_id = %(user_id)s", maybe(str))
    def type_of(self, user_id: UserID) -> str | None: ...

    @query(
        """select user_id, password_hash, created_ts, is_admin, is_guest, appservice_id,
                  locked, suspended, deactivated, erased
           from users where lower(user_id) = lower(%(user_id)s) order by user_id limit 2""",
        many(Account),
    )
    def accounts_in_any_case(self, user_id: UserID) -> list[Account]: ...

    @query("select true from users where lower(user_id) = lower(%(user_id)s) limit 1", maybe(bool))
    def is_taken(self, user_id: UserID) -> bool | None: ...

    @query("select true from users where user_id = %(user_id)s for update", maybe(bool))
    def lock_row(self, user_id: UserID) -> bool | None: ...

    @query("select true from users where user_id = %(user_id)s and not deactivated for update", maybe(bool))
    def lock_active(self, user_id: UserID) -> bool | None:
        """Keep an account from being closed until the transaction ends; None if it is closed."""

    @query("select user_id from users where user_id = any(%(user_ids)s) and not deactivated", many(UserID))
    def active_among(self, user_ids: list[UserID]) -> list[UserID]: ...

    @query("select user_id from users where erased", many(UserID))
    def erased(self) -> list[UserID]: ...

    @query("select user_id from users where user_id = any(%(user_ids)s) and erased", many(UserID))
    def erased_among(self, user_ids: list[UserID]) -> list[UserID]: ...

    @query(
        "update users set password_hash = %(password_hash)s where user_id = %(user_id)s and not deactivated",
        affected,
    )
    def set_password_hash(self, user_id: UserID, password_hash: str | None) -> int: ...

    @query(
        """update users set password_hash = %(password_hash)s
           where user_id = %(user_id)s and password_hash = %(instead_of)s and not deactivated""",
        affected,
    )
    def replace_password_hash(self, user_id: UserID, password_hash: str, instead_of: str) -> int: ...

    @query(
        """update users set deactivated = true, departing = true, erased = erased or %(erase)s, password_hash = null
           where user_id = %(user_id)s and not deactivated""",
        affected,
    )
    def deactivate(self, user_id: UserID, erase: bool) -> int: ...

    @query("select user_id from users where departing order by user_id", many(UserID))
    def departing(self) -> list[UserID]: ...

    @query("update users set departing = false where user_id = %(user_id)s", affected)
    def departed(self, user_id: UserID) -> int: ...

    @query("update users set is_admin = %(is_admin)s where user_id = %(user_id)s", affected)
    def set_admin(self, user_id: UserID, is_admin: bool) -> int: ...

    @query("update users set locked = %(locked)s where user_id = %(user_id)s", affected)
    def set_locked(self, user_id: UserID, locked: bool) -> int: ...

    @query("update users set suspended = %(suspended)s where user_id = %(user_id)s", affected)
    def set_suspended(self, user_id: UserID, suspended: bool) -> int: ...

    @query(
        """select user_id, password_hash, created_ts, is_admin, is_guest, appservice_id,
                  locked, suspended, deactivated, erased
           from users where user_id > %(after)s order by user_id limit %(count)s""",
        many(Account),
    )
    def page(self, after: str, count: int) -> list[Account]: ...
