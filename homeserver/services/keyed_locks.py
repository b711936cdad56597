"""Locks by key, for changes that read before they write.

What one group of the journal writes its members cannot read, so that two changes of one thing must not
share a group.
"""

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from twisted.internet.defer import DeferredLock

K = TypeVar("K", bound=Hashable)


class KeyedLocks(Generic[K]):
    """At most one holder a key; a key takes memory only while it is held or waited for."""

    def __init__(self) -> None:
        self._locks: dict[K, tuple[DeferredLock, int]] = {}

    @asynccontextmanager
    async def holding(self, key: K) -> AsyncIterator[None]:
        """Wait for the key's lock and hold it."""
        lock, holders = self._locks.get(key, (DeferredLock(), 0))
        self._locks[key] = (lock, holders + 1)
        try:
            await lock.acquire()
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, holders = self._locks.pop(key)
            if holders > 1:
                self._locks[key] = (lock, holders - 1)
