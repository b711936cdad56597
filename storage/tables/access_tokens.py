"""Access tokens and refresh tokens: their hashes, whose they are and how they follow one another.

A refresh token and the access token issued with it are one *pair*. A refresh makes a new pair that
`replaces` the old one; the old pair goes when either token of the new one is used
(https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens).
"""

from msgspec import Struct

from homeserver.protocol.identifiers import DeviceID, UserID
from storage.query import Queries, affected, many, maybe, one, query


class StoredToken(Struct, frozen=True):
    """What an access token stands for. Times are in milliseconds since the epoch."""

    id: int
    user_id: UserID
    device_id: DeviceID | None
    expires_ts: int | None
    replaces: int | None
    is_admin: bool
    is_guest: bool
    locked: bool
    suspended: bool
    deactivated: bool


class StoredRefreshToken(Struct, frozen=True):
    """What a refresh token stands for. Times are in milliseconds since the epoch."""

    id: int
    user_id: UserID
    device_id: DeviceID
    expires_ts: int | None
    replaces: int | None
    locked: bool
    deactivated: bool


class AccessTokens(Queries):
    """Reads and writes tokens of both kinds. Deletions return hashes of access tokens, for caches to forget."""

    @query(
        """select t.id, t.user_id, t.device_id, t.expires_ts, r.replaces,
                  u.is_admin, u.is_guest, u.locked, u.suspended, u.deactivated
           from access_tokens t join users u on u.user_id = t.user_id
                left join refresh_tokens r on r.id = t.refresh_id
           where t.token_hash = %(token_hash)s""",
        maybe(StoredToken),
    )
    def token(self, token_hash: bytes) -> StoredToken | None: ...

    @query(
        """insert into access_tokens (token_hash, user_id, device_id, created_ts, expires_ts, refresh_id)
           values (%(token_hash)s, %(user_id)s, %(device_id)s, %(created_ts)s, %(expires_ts)s, %(refresh_id)s)
           returning id""",
        one(int),
    )
    def add(
        self,
        token_hash: bytes,
        user_id: UserID,
        device_id: DeviceID | None,
        created_ts: int,
        expires_ts: int | None,
        refresh_id: int | None,
    ) -> int: ...

    @query("update refresh_tokens set replaces = null where replaces = %(refresh_id)s", affected)
    def settle(self, refresh_id: int) -> int: ...

    @query(
        """insert into refresh_tokens (token_hash, user_id, device_id, created_ts, expires_ts, replaces)
           values (%(token_hash)s, %(user_id)s, %(device_id)s, %(created_ts)s, %(expires_ts)s, %(replaces)s)
           returning id""",
        one(int),
    )
    def add_refresh(
        self,
        token_hash: bytes,
        user_id: UserID,
        device_id: DeviceID,
        created_ts: int,
        expires_ts: int | None,
        replaces: int | None,
    ) -> int: ...

    @query(
        """select r.id, r.user_id, r.device_id, r.expires_ts, r.replaces, u.locked, u.deactivated
           from refresh_tokens r join users u on u.user_id = r.user_id
           where r.token_hash = %(token_hash)s for update of r""",
        maybe(StoredRefreshToken),
    )
    def refresh_token(self, token_hash: bytes) -> StoredRefreshToken | None: ...

    @query(
        """with pair as (delete from refresh_tokens where id = %(refresh_id)s)
           delete from access_tokens where refresh_id = %(refresh_id)s returning token_hash""",
        many(bytes),
    )
    def delete_pair(self, refresh_id: int) -> list[bytes]: ...

    @query(
        """with pairs as (delete from refresh_tokens where replaces = %(refresh_id)s returning id)
           delete from access_tokens where refresh_id in (select id from pairs) returning token_hash""",
        many(bytes),
    )
    def delete_successors(self, refresh_id: int) -> list[bytes]: ...

    @query(
        """with pairs as (delete from refresh_tokens where user_id = %(user_id)s and device_id = any(%(device_ids)s))
           delete from access_tokens where user_id = %(user_id)s and device_id = any(%(device_ids)s)
           returning token_hash""",
        many(bytes),
    )
    def delete_of_devices(self, user_id: UserID, device_ids: list[DeviceID]) -> list[bytes]: ...

    @query(
        """with pairs as (
               delete from refresh_tokens where user_id = %(user_id)s and device_id is distinct from %(keep)s
           )
           delete from access_tokens
           where user_id = %(user_id)s
             and (device_id is distinct from %(keep)s or (device_id is null and id <> %(keep_id)s))
           returning token_hash""",
        many(bytes),
    )
    def delete_all(self, user_id: UserID, keep: DeviceID | None, keep_id: int) -> list[bytes]: ...

    @query("delete from access_tokens where id = %(token_id)s returning token_hash", many(bytes))
    def delete(self, token_id: int) -> list[bytes]: ...

    @query("select token_hash from access_tokens where user_id = %(user_id)s", many(bytes))
    def hashes_of(self, user_id: UserID) -> list[bytes]: ...
