"""Caches that share one byte budget, so that memory has one bound, whatever is asked for.

An entry is dropped when the budget is exceeded and it was not looked up since the hand last passed it (the "second
chance" form of least recently used: a hit costs one attribute, not a reordered list).
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from storage import metrics

K = TypeVar("K")
V = TypeVar("V")

OVERHEAD = 250
"""Bytes that an entry takes beside its value: the entry, its key, its places in the dictionary and the ring."""


class CacheBudget:
    """The bytes that all caches may hold together."""

    def __init__(self, limit: int) -> None:
        """`limit` in bytes."""
        self.limit = limit
        self.held = 0
        self._ring: deque[_Entry] = deque()
        self._dead = 0

    def cache(self, name: str, size_of: Callable[[Any], int]) -> "Cache[Any, Any]":
        """A further cache; `name` is for the metrics, `size_of` gives the bytes of a value with what it keeps alive."""
        return Cache(self, name, size_of)

    def add(self, entry: "_Entry") -> None:
        """Count a new entry and make room for it."""
        self._ring.append(entry)
        self.held += entry.size
        if self.held > self.limit:
            self._evict()

    def resize(self, entry: "_Entry", size: int) -> None:
        """Count a changed entry."""
        self.held += size - entry.size
        entry.size = size
        if self.held > self.limit:
            self._evict()

    def discard(self, entry: "_Entry") -> None:
        """An entry left its cache; its place in the ring is cleared later."""
        self.held -= entry.size
        entry.live = False
        entry.value = None
        self._dead += 1
        if self._dead > 1000 and self._dead * 2 > len(self._ring):
            self._ring = deque(each for each in self._ring if each.live)
            self._dead = 0

    def _evict(self) -> None:
        ring = self._ring
        while self.held > self.limit and ring:
            entry = ring.popleft()
            if not entry.live:
                self._dead -= 1
            elif entry.used:
                entry.used = False
                ring.append(entry)
            else:
                self.held -= entry.size
                entry.live = False
                entry.cache.evicted(entry)


class _Entry:
    __slots__ = ("cache", "key", "live", "size", "used", "value")

    def __init__(self, cache: "Cache[Any, Any]", key: Any, value: Any, size: int) -> None:
        self.cache = cache
        self.key = key
        self.value = value
        self.size = size
        self.used = False
        self.live = True


class _Flight:
    """A value being loaded, and who waits for it."""

    __slots__ = ("loading", "outdated", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Deferred[Any]] = []
        self.loading: Deferred[None] | None = None
        self.outdated = False


class Cache(Generic[K, V]):
    """Values by key; None is not a value."""

    def __init__(self, budget: CacheBudget, name: str, size_of: Callable[[V], int]) -> None:
        self._budget = budget
        self._size_of = size_of
        self._entries: dict[K, _Entry] = {}
        self._flights: dict[K, _Flight] = {}
        self.bytes = 0
        self._hits = metrics.CACHE_HITS.labels(name).inc
        self._misses = metrics.CACHE_MISSES.labels(name).inc
        self._evictions = metrics.CACHE_EVICTIONS.labels(name).inc
        metrics.CACHE_BYTES.labels(name).set_function(lambda: self.bytes)
        metrics.CACHE_ENTRIES.labels(name).set_function(lambda: len(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value, if it is here."""
        entry = self._entries.get(key)
        if entry is None:
            self._misses()
            return None
        entry.used = True
        self._hits()
        value: V = entry.value
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value, instead of the one that was there. One larger than an eighth of the budget is not kept."""
        size = self._size_of(value) + OVERHEAD
        if size > self._budget.limit // 8:
            self._drop(key)
            return
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(self, key, value, size)
            self.bytes += size
            self._budget.add(entry)
        else:
            entry.value = value
            entry.used = True
            self.bytes += size - entry.size
            self._budget.resize(entry, size)

    def pop(self, key: K) -> None:
        """Forget a value, also one that is being loaded just now: who waits gets it, but it is not kept."""
        self._drop(key)
        flight = self._flights.pop(key, None)
        if flight is not None:
            flight.outdated = True

    def clear(self) -> None:
        """Forget everything."""
        for key in [*self._entries, *self._flights]:
            self.pop(key)

    async def fetch(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """The value, loaded if it is not here; loaded once for all who ask meanwhile, even if the first goes away."""
        values = await self.fetch_many([key], lambda keys: _by_key(key, load))
        return values[key]

    async def fetch_many(
        self, keys: Iterable[K], load: Callable[[list[K]], Awaitable[Mapping[K, V]]]
    ) -> dict[K, V]:
        """The values of many keys, the missing ones loaded in one call; keys that `load` does not give are left out."""
        found: dict[K, V] = {}
        waited: dict[K, Deferred[V | None]] = {}
        own: dict[K, _Flight] = {}
        for key in dict.fromkeys(keys):
            value = self.get(key)
            if value is not None:
                found[key] = value
                continue
            flight = self._flights.get(key)
            if flight is None:
                flight = own[key] = self._flights[key] = _Flight()
            waited[key] = Deferred()
            flight.waiting.append(waited[key])
        if own:
            loading = Deferred.fromCoroutine(_coroutine(load, list(own))).addCallbacks(
                lambda values: self._landed(own, values), lambda failure: self._failed(own, failure)
            )
            for flight in own.values():
                flight.loading = loading
        try:
            for key, deferred in waited.items():
                value = await deferred
                if value is not None:
                    found[key] = value
        finally:
            for deferred in waited.values():
                _ = deferred.addErrback(lambda failure: None)  # the first failure is the one that is told
        return found

    def evicted(self, entry: _Entry) -> None:
        """The budget took an entry away."""
        self.bytes -= entry.size
        del self._entries[entry.key]
        self._evictions()

    def _drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.size
            self._budget.discard(entry)

    def _landed(self, flights: Mapping[K, _Flight], values: Mapping[K, V]) -> None:
        for key, flight in flights.items():
            value = values.get(key)
            if not flight.outdated:
                del self._flights[key]
                if value is not None:
                    self.put(key, value)
        for key, flight in flights.items():
            value = values.get(key)
            for deferred in flight.waiting:
                if not deferred.called:
                    deferred.callback(value)

    def _failed(self, flights: Mapping[K, _Flight], failure: Failure) -> None:
        for key, flight in flights.items():
            if not flight.outdated:
                del self._flights[key]
        for flight in flights.values():
            for deferred in flight.waiting:
                if not deferred.called:
                    deferred.errback(failure)


async def _coroutine(load: Callable[[list[K]], Awaitable[V]], keys: list[K]) -> V:
    return await load(keys)


async def _by_key(key: K, load: Callable[[], Awaitable[V]]) -> Mapping[K, V]:
    return {key: await load()}
