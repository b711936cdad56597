"""Hashing and checking passwords: argon2id, and bcrypt for the hashes of users that came from elsewhere.

Hashing takes tens of milliseconds and of megabytes, so it runs on `HashWorkers`, off the reactor and only
so many at a time.
"""

import base64
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import bcrypt
from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

from homeserver.clock import Randomness
from homeserver.protocol.errors import InvalidParam, WeakPassword

T = TypeVar("T")

MAX_PASSWORD_LENGTH = 1024
_BCRYPT_BYTES = 72
"""bcrypt never looked at more; its library now refuses what it used to cut off."""


class HashWorkers(Protocol):
    """Runs functions off the reactor, a bounded number at a time."""

    def run(self, function: Callable[[], T]) -> Awaitable[T]:
        """Return what the function returns."""


@dataclass(frozen=True, slots=True)
class PasswordCosts:
    """The costs of argon2id (RFC 9106): passes, memory in KiB, lanes."""

    passes: int
    memory_kib: int
    lanes: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password was right; `rehashed` is a new hash to store where the old one is below today's
    costs.
    """

    right: bool
    rehashed: str | None = None


class Passwords:
    """Makes and checks password hashes."""

    def __init__(
        self, costs: PasswordCosts, minimum_length: int, workers: HashWorkers, random: Randomness
    ) -> None:
        self._hasher = PasswordHasher(
            time_cost=costs.passes, memory_cost=costs.memory_kib, parallelism=costs.lanes, type=Type.ID
        )
        self._minimum_length = minimum_length
        self._workers = workers
        self._random = random

    def check_policy(self, password: str) -> None:
        """Raises WeakPassword, or InvalidParam for an absurdly long one."""
        if len(password) < self._minimum_length:
            raise WeakPassword(f"Passwords must have at least {self._minimum_length} characters")
        if len(password) > MAX_PASSWORD_LENGTH:
            raise InvalidParam(f"Passwords have at most {MAX_PASSWORD_LENGTH} characters")

    async def hash(self, password: str) -> str:
        """Return a hash to store."""
        salt = self._salt()
        return await self._workers.run(lambda: self._hasher.hash(_normalised(password), salt=salt))

    async def check(self, password: str, stored: str | None) -> Verdict:
        """Check a password against a stored hash.

        Where there is none (no such user, no password) the same work is done, so that the time tells
        nothing.
        """
        if len(password) > MAX_PASSWORD_LENGTH:
            return Verdict(False)
        salt = self._salt()
        return await self._workers.run(lambda: self._checked(_normalised(password), stored, salt))

    def _checked(self, password: bytes, stored: str | None, salt: bytes) -> Verdict:
        if stored is not None and stored.startswith("$2"):
            right = bcrypt.checkpw(password[:_BCRYPT_BYTES], stored.encode())
            return Verdict(right, self._hasher.hash(password, salt=salt) if right else None)
        if stored is None:
            self._hasher.hash(password, salt=salt)
            return Verdict(False)
        try:
            self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return Verdict(False)
        return Verdict(
            True, self._hasher.hash(password, salt=salt) if self._hasher.check_needs_rehash(stored) else None
        )

    def _salt(self) -> bytes:
        return base64.urlsafe_b64decode(self._random.token(18))[:16]


def _normalised(password: str) -> bytes:
    """One password may be typed as different code points on different devices."""
    return unicodedata.normalize("NFKC", password).encode()
