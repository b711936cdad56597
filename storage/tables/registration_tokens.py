"""What lets people register: registration tokens, and the nonces of registrations by shared secret."""

from msgspec import Struct

from storage.query import Queries, affected, many, maybe, nothing, query


class RegistrationToken(Struct, frozen=True):
    """One token: `uses_allowed` is None for any number, `expires_ts` (milliseconds) None for no end."""

    token: str
    uses_allowed: int | None
    completed: int
    expires_ts: int | None


class RegistrationTokens(Queries):
    """Reads and writes registration tokens."""

    @query(
        """select true from registration_tokens where token = %(token)s
           and (uses_allowed is null or completed < uses_allowed) and (expires_ts is null or expires_ts > %(now)s)""",
        maybe(bool),
    )
    def is_valid(self, token: str, now: int) -> bool | None: ...

    @query(
        """update registration_tokens set completed = completed + 1 where token = %(token)s
           and (uses_allowed is null or completed < uses_allowed) and (expires_ts is null or expires_ts > %(now)s)""",
        affected,
    )
    def use(self, token: str, now: int) -> int: ...

    @query(
        """insert into registration_tokens (token, uses_allowed, expires_ts, created_ts)
           values (%(token)s, %(uses_allowed)s, %(expires_ts)s, %(created_ts)s) on conflict (token) do nothing""",
        affected,
    )
    def create(
        self, token: str, uses_allowed: int | None, expires_ts: int | None, created_ts: int
    ) -> int: ...

    @query(
        "select token, uses_allowed, completed, expires_ts from registration_tokens order by token",
        many(RegistrationToken),
    )
    def all(self) -> list[RegistrationToken]: ...

    @query("delete from registration_tokens where token = %(token)s", affected)
    def delete(self, token: str) -> int: ...


class RegistrationNonces(Queries):
    """Nonces are good for one registration."""

    @query("insert into registration_nonces (nonce, created_ts) values (%(nonce)s, %(now)s)", nothing)
    def add(self, nonce: str, now: int) -> None: ...

    @query("delete from registration_nonces where nonce = %(nonce)s and created_ts >= %(since)s", affected)
    def use(self, nonce: str, since: int) -> int: ...

    @query("delete from registration_nonces where created_ts < %(before)s", affected)
    def expire(self, before: int) -> int: ...
