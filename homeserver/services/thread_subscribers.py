"""Who follows which threads, kept in memory for those threads in which something is said.

Whether a message in a thread notifies depends on it for every member of the room. So it is asked once a thread, not
once a member, and never for messages outside of threads.

https://github.com/matrix-org/matrix-spec-proposals/pull/4306
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.services.rooms.stored_event import StoredEvent
from storage.caches import CacheBudget
from storage.database import Database
from storage.journal import Journal, Landed
from storage.tables.thread_subscriptions import ThreadSubscriptions

_SET_BYTES = 300
_USER_BYTES = 100


class SubscriptionChanged(Struct, frozen=True, tag="subscription"):
    """What a committed write did: the journal's payload."""

    user_id: UserID
    room_id: RoomID
    thread: EventID


class ThreadSubscribers:
    """Finds out who follows threads. ``enabled``: anybody may."""

    def __init__(self, database: Database, journal: Journal, caches: CacheBudget, *, enabled: bool) -> None:
        self.enabled = enabled
        self._database = database
        self._sets = caches.cache("thread_subscribers", _weight)
        self._changes = 0
        journal.listen(self._landed, self._missed)

    async def among(self, user_id: UserID, events: Iterable[StoredEvent]) -> frozenset[EventID] | None:
        """Those of the threads that some events are in which a user follows; None where nobody follows any."""
        if not self.enabled:
            return None
        threads = {stored.thread for stored in events if stored.thread is not None}
        found: dict[EventID, frozenset[UserID]] = {}
        missing = []
        for thread in threads:
            known: frozenset[UserID] | None = self._sets.get(thread)
            if known is None:
                missing.append(thread)
            else:
                found[thread] = known
        if missing:
            found |= await self._load(missing)
        return frozenset(thread for thread, users in found.items() if user_id in users)

    async def _load(self, threads: list[EventID]) -> dict[EventID, frozenset[UserID]]:
        before = self._changes
        rows = await self._database.read(lambda tx: ThreadSubscriptions(tx).subscribers(threads))
        users: dict[EventID, set[UserID]] = {thread: set() for thread in threads}
        for thread, user_id in rows:
            users[thread].add(user_id)
        found = {thread: frozenset(each) for thread, each in users.items()}
        if self._changes == before:
            for thread, each in found.items():
                self._sets.put(thread, each)
        return found

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        for each in landed:
            if isinstance(each.payload, SubscriptionChanged):
                self._sets.pop(each.payload.thread)
                self._changes += 1

    def _missed(self, upto: int) -> None:
        self._sets.clear()
        self._changes += 1


def _weight(users: frozenset[UserID]) -> int:
    return _SET_BYTES + _USER_BYTES * len(users)
