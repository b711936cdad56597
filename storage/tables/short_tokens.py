"""Tokens that live for minutes: their hashes, what they are for, and whose they are."""

from homeserver.protocol.identifiers import UserID
from storage.query import Queries, maybe, nothing, query


class ShortTokens(Queries):
    """Reads and writes them."""

    @query(
        """insert into short_tokens (token_hash, purpose, user_id, expires_ts)
           values (%(token_hash)s, %(purpose)s, %(user_id)s, %(expires_ts)s)""",
        nothing,
    )
    def add(self, token_hash: bytes, purpose: str, user_id: UserID, expires_ts: int) -> None: ...

    @query(
        """select t.user_id from short_tokens t join users u using (user_id)
           where t.token_hash = %(token_hash)s and t.purpose = %(purpose)s and t.expires_ts > %(now)s
             and not u.deactivated and not u.locked""",
        maybe(UserID),
    )
    def user(self, token_hash: bytes, purpose: str, now: int) -> UserID | None: ...

    @query(
        """delete from short_tokens
           where token_hash = %(token_hash)s and purpose = %(purpose)s and expires_ts > %(now)s returning user_id""",
        maybe(UserID),
    )
    def take(self, token_hash: bytes, purpose: str, now: int) -> UserID | None:
        """Whose a token is, which is good no more afterwards."""

    @query("delete from short_tokens where expires_ts <= %(now)s", nothing)
    def expire(self, now: int) -> None: ...
