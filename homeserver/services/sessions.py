"""Access tokens and refresh tokens: issuing them, telling who is behind one, and ending them.

https://spec.matrix.org/v1.19/client-server-api/#relationship-between-access-tokens-and-devices
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from homeserver.clock import Clock, Randomness
from homeserver.protocol.errors import UnknownToken, UserDeactivated, UserLocked
from homeserver.protocol.identifiers import DeviceID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.tokens import ACCESS, REFRESH, is_token, new_token, token_hash
from storage.caches import Cache
from storage.database import Database
from storage.tables.access_tokens import AccessTokens
from storage.transaction import Transaction

REREAD_MS = 60_000
"""Sessions are read again after so long: other processes (nodes, commands) end them too."""
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long tokens last, in milliseconds. Access tokens without a refresh token last until logout."""

    access_ms: int
    refresh_ms: int | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Tokens for a client, not stored yet. `expires_in_ms` is the access token's lifetime, None for ever."""

    access_token: str
    refresh_token: str | None
    expires_in_ms: int | None

    def answer(self) -> dict[str, object]:
        """The part of an answer that has the tokens."""
        answer: dict[str, object] = {"access_token": self.access_token}
        if self.refresh_token is not None:
            answer["refresh_token"] = self.refresh_token
        if self.expires_in_ms is not None:
            answer["expires_in_ms"] = self.expires_in_ms
        return answer


@dataclass(frozen=True, slots=True)
class Session:
    """What an access token stands for, as it is kept in memory."""

    requester: Requester
    expires_ts: int
    locked: bool
    read_ts: int


class Sessions:
    """Issues tokens and knows them again; the hot path of every request touches only memory."""

    def __init__(
        self,
        database: Database,
        cache: Cache[bytes, Session],
        lifetimes: Lifetimes,
        clock: Clock,
        random: Randomness,
    ) -> None:
        self._database = database
        self._cache = cache
        self._lifetimes = lifetimes
        self._clock = clock
        self._random = random
        self._listeners: list[Callable[[list[bytes]], None]] = []

    def when_forgotten(self, listener: Callable[[list[bytes]], None]) -> None:
        """Call with the hashes of tokens whose sessions are not as they were: other nodes may have them in memory."""
        self._listeners.append(listener)

    async def requester(self, token: str, *, even_locked: bool = False) -> Requester:
        """Who an access token stands for. Raises UnknownToken, and UserLocked unless `even_locked`."""
        if not is_token(ACCESS, token):
            raise UnknownToken
        key = token_hash(token)
        session = await self._session(key)
        if session.expires_ts <= self._clock.now_ms():
            raise UnknownToken("The access token has expired", soft_logout=True)
        if session.locked and not even_locked:
            raise UserLocked
        return session.requester

    def mint(self, *, refreshable: bool) -> Pair:
        """Make tokens that `store` will store."""
        return Pair(
            access_token=new_token(ACCESS, self._random),
            refresh_token=new_token(REFRESH, self._random) if refreshable else None,
            expires_in_ms=self._lifetimes.access_ms if refreshable else None,
        )

    def store(
        self, tx: Transaction, pair: Pair, user_id: UserID, device_id: DeviceID, replaces: int | None = None
    ) -> None:
        """Store new tokens of a device, within the caller's transaction."""
        tokens = AccessTokens(tx)
        now = self._clock.now_ms()
        refresh_id = None
        if pair.refresh_token is not None:
            until = None if self._lifetimes.refresh_ms is None else now + self._lifetimes.refresh_ms
            refresh_id = tokens.add_refresh(
                token_hash(pair.refresh_token), user_id, device_id, now, until, replaces
            )
        expires = None if pair.expires_in_ms is None else now + pair.expires_in_ms
        tokens.add(token_hash(pair.access_token), user_id, device_id, now, expires, refresh_id)

    async def refresh(self, refresh_token: str) -> Pair:
        """Exchange a refresh token for new tokens. Raises UnknownToken, UserLocked.

        The old one stays good until one of the new tokens is used, so that a client that never got this
        answer can ask again. https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens
        """
        if not is_token(REFRESH, refresh_token):
            raise UnknownToken
        pair = self.mint(refreshable=True)
        dead = await self._database.transact(lambda tx: self._rotate(tx, refresh_token, pair))
        self.forget(dead)
        return pair

    def _rotate(self, tx: Transaction, refresh_token: str, pair: Pair) -> list[bytes]:
        tokens = AccessTokens(tx)
        old = tokens.refresh_token(token_hash(refresh_token))
        if old is None:
            raise UnknownToken
        if old.deactivated:
            raise UserDeactivated
        if old.locked:
            raise UserLocked
        if old.expires_ts is not None and old.expires_ts <= self._clock.now_ms():
            raise UnknownToken("The refresh token has expired", soft_logout=True)
        dead = tokens.delete_successors(old.id)
        if old.replaces is not None:
            dead += _settled(tx, old.replaces)
        self.store(tx, pair, old.user_id, old.device_id, replaces=old.id)
        return dead

    async def _session(self, key: bytes) -> Session:
        """A session, from memory unless it has been there for long. Raises UnknownToken."""
        session = self._cache.get(key)
        if session is not None and session.read_ts + REREAD_MS > self._clock.now_ms():
            return session
        if session is not None:
            self._cache.pop(key)
        return await self._cache.fetch(key, lambda: self._load(key))

    async def _load(self, key: bytes) -> Session:
        stored = await self._database.read(lambda tx: AccessTokens(tx).token(key))
        if stored is None or stored.deactivated:
            raise UnknownToken
        old = stored.replaces
        if old is not None:
            self.forget(await self._database.transact(lambda tx: _settled(tx, old)))
        return Session(
            requester=Requester(
                user_id=stored.user_id,
                device_id=stored.device_id,
                token_id=stored.id,
                is_guest=stored.is_guest,
                is_admin=stored.is_admin,
                is_suspended=stored.suspended,
            ),
            expires_ts=_NEVER if stored.expires_ts is None else stored.expires_ts,
            locked=stored.locked,
            read_ts=self._clock.now_ms(),
        )

    def forget(self, token_hashes: Iterable[bytes]) -> None:
        """Drop sessions from memory: their tokens were deleted, or their user changed."""
        hashes = list(token_hashes)
        self.drop(hashes)
        if hashes:
            for listener in self._listeners:
                listener(hashes)

    def drop(self, token_hashes: Iterable[bytes]) -> None:
        """Drop sessions from memory, of which another node said that they are not as they were."""
        for key in token_hashes:
            self._cache.pop(key)

    def drop_all(self) -> None:
        """Drop all from memory."""
        self._cache.clear()

    async def forget_user(self, user_id: UserID) -> None:
        """Read a user's sessions anew at their next request: the user was locked, suspended, made an admin."""
        self.forget(await self._database.read(lambda tx: AccessTokens(tx).hashes_of(user_id)))

    async def end(self, token_id: int) -> None:
        """Delete one access token that belongs to no device."""
        self.forget(await self._database.transact(lambda tx: AccessTokens(tx).delete(token_id)))


def _settled(tx: Transaction, old: int) -> list[bytes]:
    """A new token was used: the pair that it replaces ends."""
    AccessTokens(tx).settle(old)
    return AccessTokens(tx).delete_pair(old)
