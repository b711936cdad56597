"""Rate limits by name: a bucket for each user or address, filled at a steady rate.

A bucket is one number: the time at which it would be full again (the generic cell rate algorithm), so that a key costs
some tens of bytes and nothing runs in the background. Buckets that are full again are forgotten.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from homeserver.clock import Clock
from homeserver.protocol.errors import LimitExceeded

_FIRST_SWEEP: Final = 1024  # keys
_ROUNDING: Final = 1e-9  # seconds


class Limit(Protocol):
    """A configured limit: `per_second` calls in the long run, `burst` of them at once."""

    @property
    def per_second(self) -> float: ...

    @property
    def burst(self) -> int: ...


class Bucket:
    """One named limit, with the state of every key that used it lately."""

    __slots__ = ("_full_at", "_interval", "_now", "_slack", "_sweep_at")

    def __init__(self, limit: Limit, now: Callable[[], float]) -> None:
        self._interval = 1.0 / limit.per_second
        self._slack = self._interval * (max(limit.burst, 1) - 1)
        self._now = now
        self._full_at: dict[str, float] = {}
        self._sweep_at = _FIRST_SWEEP

    def check(self, key: str) -> float:
        """Count nothing; return when the bucket is full. Raises LimitExceeded, which says when to try again."""
        now = self._now()
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at - now - self._slack
        if wait > _ROUNDING:
            raise LimitExceeded(retry_after_ms=int(wait * 1000) + 1)
        return full_at

    def take(self, key: str) -> None:
        """Count one call. Raises LimitExceeded, and counts nothing then."""
        self._full_at[key] = self.check(key) + self._interval
        if len(self._full_at) > self._sweep_at:
            self._sweep(self._now())

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._full_at)

    def _sweep(self, now: float) -> None:
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._full_at))


class RateLimits:
    """The limits of a server; with `enabled` false they exist and let everything through."""

    def __init__(self, limits: Mapping[str, Limit], clock: Clock, enabled: bool = True) -> None:
        self._buckets = {name: Bucket(limit, clock.seconds) for name, limit in limits.items()}
        self._enabled = enabled

    @property
    def names(self) -> frozenset[str]:
        """The names that an endpoint may count against."""
        return frozenset(self._buckets)

    def bucket(self, name: str) -> Bucket | None:
        """Return the bucket of a name, or None when limits are off. Raises KeyError for an unknown name."""
        bucket = self._buckets[name]
        return bucket if self._enabled else None

    def take(self, name: str, key: str) -> None:
        """Count one call of `key` against a limit. Raises LimitExceeded."""
        bucket = self.bucket(name)
        if bucket is not None:
            bucket.take(key)
