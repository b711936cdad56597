"""Following threads: a user is notified of what is said in threads that they follow, and not of others.

https://github.com/matrix-org/matrix-spec-proposals/pull/4306
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homeserver.protocol.errors import AlreadyExists, InvalidParam, NotFound
from homeserver.protocol.events.content import relation_of
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.services.rooms.access import Access
from homeserver.services.rooms.notability import THREAD
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.thread_subscribers import SubscriptionChanged
from storage.database import Database
from storage.journal import Changes, Journal, RunResult, Write
from storage.tables.thread_subscriptions import (
    PUT_THREAD_SUBSCRIPTION,
    SubscriptionChangeRow,
    SubscriptionRow,
)
from storage.tables.thread_subscriptions import ThreadSubscriptions as StoredSubscriptions
from storage.tables.users import Users
from storage.transaction import Transaction


class NotInThread(
    InvalidParam,
    errcode="IO.ELEMENT.MSC4306.M_NOT_IN_THREAD",
    says="The event that is named as the cause is not in this thread",
):
    """A client subscribes on account of an event elsewhere."""


class ConflictingUnsubscription(
    AlreadyExists,
    errcode="IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION",
    says="The user has left this thread since that event",
):
    """A client subscribes on account of an event that was there when the user unsubscribed."""


@dataclass(frozen=True, slots=True)
class SubscriptionsPage:
    """The last changes up to a position, the latest first; ``end``: up to there are more."""

    changes: Sequence[SubscriptionChangeRow]
    end: int | None


class ThreadSubscriptions:
    """What local users follow."""

    def __init__(self, database: Database, journal: Journal, access: Access) -> None:
        self._database = database
        self._journal = journal
        self._access = access

    @property
    def position(self) -> int:
        """Behind everything that has changed so far."""
        return self._journal.position

    async def find(self, user_id: UserID, room_id: RoomID, thread: EventID) -> SubscriptionRow:
        """How a user follows a thread. Raises NotFound if they do not, or may not see where it begins."""
        await self._access.event(room_id, user_id, thread)
        row = await self._database.read(lambda tx: StoredSubscriptions(tx).find(user_id, room_id, thread))
        if row is None or not row.subscribed:
            raise NotFound("You are not subscribed to this thread")
        return row

    async def subscribe(
        self, user_id: UserID, room_id: RoomID, thread: EventID, cause: EventID | None
    ) -> None:
        """Follow a thread, by the user's own decision or because of an event in it. Raises NotFound, NotInThread,
        ConflictingUnsubscription.
        """
        await self._access.event(room_id, user_id, thread)
        caused: StoredEvent | None = None
        if cause is not None:
            caused = (await self._access.event(room_id, user_id, cause)).stored
            if not _is_in_thread(caused, thread):
                raise NotInThread

        def subscribed(row: SubscriptionRow | None) -> bool:
            return _is_to_subscribe(row, caused)

        await self._write(user_id, room_id, thread, subscribed, value=(True, caused is not None))

    async def unsubscribe(self, user_id: UserID, room_id: RoomID, thread: EventID) -> None:
        """Follow a thread no more. Raises NotFound if the user may not see where it begins."""
        await self._access.event(room_id, user_id, thread)

        def unsubscribed(row: SubscriptionRow | None) -> bool:
            return row is not None and row.subscribed

        await self._write(user_id, room_id, thread, unsubscribed, value=(False, False))

    async def page(self, user_id: UserID, since: int, upto: int, limit: int) -> SubscriptionsPage:
        """The last changes between two positions."""
        rows = await self._database.read(
            lambda tx: StoredSubscriptions(tx).changes(user_id, since, upto, limit + 1)
        )
        return SubscriptionsPage(rows[:limit], rows[limit].pos if len(rows) > limit else None)

    async def forget_user(self, user_id: UserID) -> None:
        """Drop all of a user who is gone."""
        await self._database.transact(lambda tx: StoredSubscriptions(tx).delete_all(user_id))

    async def _write(
        self,
        user_id: UserID,
        room_id: RoomID,
        thread: EventID,
        wanted: Callable[[SubscriptionRow | None], bool],
        value: tuple[bool, bool],
    ) -> None:
        """Write what ``wanted`` asks for, by what is there when it is written."""

        def write(tx: Transaction) -> RunResult[None]:
            Users(tx).lock_row(user_id)
            if not wanted(StoredSubscriptions(tx).find(user_id, room_id, thread)):
                return RunResult(None)
            return RunResult(None, [PUT_THREAD_SUBSCRIPTION.row(thread, room_id, user_id, *value)])

        row = await self._database.read(lambda tx: StoredSubscriptions(tx).find(user_id, room_id, thread))
        if wanted(row):
            written: Write[None] = Write(
                run=write,
                changes=Changes(users=frozenset((user_id,))),
                payload=SubscriptionChanged(user_id, room_id, thread),
            )
            await self._journal.write(written)


def _is_in_thread(stored: StoredEvent, thread: EventID) -> bool:
    relation = relation_of(stored.event)
    direct = relation is not None and relation.rel_type == THREAD and relation.event_id == thread
    return direct or stored.thread == thread


def _is_to_subscribe(row: SubscriptionRow | None, cause: StoredEvent | None) -> bool:
    """Whether there is anything to write. The user's own decision stands above that of a client, and what was said
    before they unsubscribed, or in the past that was fetched later, is no reason to subscribe them again.
    """
    if row is None or row.subscribed:
        return row is None or (row.automatic and cause is None)
    if cause is not None and (cause.pos is None or cause.pos <= row.pos):
        raise ConflictingUnsubscription
    return True
