"""How much of their rooms users have not read: counts derived from events, receipts and rules, never stored.

A count is a function of the events since the user has read the room, of their receipts, and of their rules as they are
*now*: a muted room loses its badge at once. So nothing can drift, and a restart needs no recount. What is kept in
memory is a tally for each user and room that was asked for; it is brought up to date when it is asked for again, from
what memory has of the room's latest events, and dropped where that is not enough. So a message costs nothing for users
who do not sync, and a live sync of a room with a new message needs no database.

https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.push_rules.evaluation import PushRules
from homeserver.services.account_data import PUSH_RULES
from homeserver.services.push_evaluation import PushEvaluation, UserRules, at_event
from homeserver.services.receipts import MAIN_THREAD, UNTHREADED, ReceiptsCommit
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.notability import (
    HIGHLIGHTS,
    MENTIONS_SOMEBODY,
    NOTIFIES,
    NOTIFIES_SUBSCRIBERS,
    mentioned_by,
)
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.room_elsewhere import RoomElsewhere
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sync.live import IGNORED_USERS
from homeserver.services.sync.model import MEMBER, Asking, RoomUpdate
from homeserver.services.sync.recent import RecentRooms
from homeserver.services.thread_subscribers import SubscriptionChanged
from storage.caches import CacheBudget
from storage.database import Database
from storage.journal import Journal, Landed
from storage.tables.account_data import AccountDatum
from storage.tables.thread_subscriptions import ThreadSubscriptions
from storage.tables.unread import ReadRow, TallyRow, Unread
from storage.transaction import Transaction

MAX_COUNTED: Final = 10_000
"""The last events of a room that are looked at; a room that was not read for longer shows fewer than it has."""
MAX_JUDGED: Final = 500
"""The same where the user's own rules have to be tried on each."""
MAX_STRUCK: Final = 10_000


@dataclass(frozen=True, slots=True)
class Count:
    """What is unread of a room or a thread."""

    notifications: int = 0
    highlights: int = 0

    def json(self) -> bytes:
        """https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync"""
        return b'{"notification_count":%d,"highlight_count":%d}' % (self.notifications, self.highlights)


NOTHING: Final = Count()

Judge = Callable[[StoredEvent, Collection[EventID] | None], tuple[bool, bool]]
"""Whether an event notifies, and whether it highlights, a user who is subscribed to some threads."""


@dataclass(frozen=True, slots=True)
class RoomCounts:
    """What is unread of a room: of its main timeline, and of those threads in which anything is."""

    main: Count = NOTHING
    threads: Mapping[EventID, Count] = field(default_factory=dict)

    @property
    def total(self) -> Count:
        """Of the room as a whole, for clients that know nothing of threads."""
        counts = (self.main, *self.threads.values())
        return Count(sum(each.notifications for each in counts), sum(each.highlights for each in counts))


class _Tally:
    """The counts of one user and room up to a position. ``unread`` has, by thread, notifications, highlights and the
    position of the last of them; ``read`` up to where the user has read since, by thread ("": all).
    """

    __slots__ = ("ignored", "read", "rules", "unread", "upto")

    def __init__(self, upto: int, rules: UserRules, ignored: frozenset[UserID]) -> None:
        self.upto = upto
        self.rules = rules
        self.ignored = ignored
        self.unread: dict[str, tuple[int, int, int]] = {}
        self.read: dict[str, int] = {}

    def take(self, stored: StoredEvent, judged: tuple[bool, bool], user_id: UserID) -> None:
        """Count a new event: whether it notifies and highlights was judged."""
        notify, highlight = judged
        thread, pos = stored.thread or MAIN_THREAD, stored.pos or 0
        if stored.event.sender == user_id:
            if stored.notable:
                self.unread.pop(thread, None)
            return
        if not notify or pos <= max(self.read.get(thread, 0), self.read.get(UNTHREADED, 0)):
            return
        if stored.event.sender in self.ignored:
            return
        notifications, highlights, _ = self.unread.get(thread, (0, 0, 0))
        self.unread[thread] = (notifications + 1, highlights + highlight, pos)

    def read_to(self, thread: str, pos: int) -> bool:
        """Take in a receipt; False if it is not known what is left of the counts."""
        self.read[thread] = max(pos, self.read.get(thread, 0))
        for each in [*self.unread] if thread == UNTHREADED else [thread]:
            if each not in self.unread:
                continue
            if self.unread[each][2] > pos:
                return False
            del self.unread[each]
        return True

    def counts(self) -> RoomCounts:
        """As others see it."""
        shown = {thread: Count(n, h) for thread, (n, h, _) in self.unread.items()}
        main = shown.pop(MAIN_THREAD, NOTHING)
        return RoomCounts(main, {EventID(thread): count for thread, count in shown.items()})

    def weight(self) -> int:
        """Bytes of memory, roughly."""
        return 400 + 150 * (len(self.unread) + len(self.read))


class UnreadCounts:
    """Counts what is unread."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        evaluation: PushEvaluation,
        events: EventStore,
        recent: RecentRooms,
        caches: CacheBudget,
    ) -> None:
        self._database = database
        self._journal = journal
        self._evaluation = evaluation
        self._events = events
        self._recent = recent
        self._tallies = caches.cache("unread", _Tally.weight)
        self._struck: dict[RoomID, int] = {}
        self._epoch = 0
        journal.listen(self._landed, self._missed)

    async def of_rooms(
        self, user_id: UserID, rooms: Collection[RoomID], ignored: Collection[UserID] = ()
    ) -> dict[RoomID, RoomCounts]:
        """What is unread of rooms that a user is in, as of now. ``ignored`` are those whom the user ignores."""
        if not rooms:
            return {}
        unheard = frozenset(ignored)
        rules = await self._evaluation.rules(user_id)
        found: dict[RoomID, _Tally] = {}
        for room_id in rooms:
            tally = await self._kept(user_id, room_id, rules, unheard)
            if tally is not None:
                found[room_id] = tally
        missing = [room_id for room_id in rooms if room_id not in found]
        if missing:
            found |= await self._counted(user_id, missing, rules, unheard)
        return {room_id: found[room_id].counts() for room_id in rooms}

    async def tell(self, asking: Asking, updates: Collection[RoomUpdate]) -> None:
        """Put counts into what a sync tells of rooms."""
        rooms = [update.room_id for update in updates]
        counts = await self.of_rooms(asking.user_id, rooms, asking.ignored)
        by_thread = asking.request.filter.room.timeline.unread_thread_notifications
        for update in updates:
            update.unread = unread_members(counts[update.room_id], by_thread=by_thread)

    async def after(
        self,
        user_id: UserID,
        data: Iterable[AccountDatum],
        rooms: Collection[RoomID],
        between: tuple[int, int],
    ) -> list[RoomID]:
        """Those of some rooms whose counts may be others because account data changed, rules or whom to ignore, or
        because the user follows other threads since some position.
        """
        names = list(rooms)
        if any(not datum.room_id and datum.type in (PUSH_RULES, IGNORED_USERS) for datum in data):
            return await self._database.read(lambda tx: Unread(tx).with_news(user_id, names))
        if not self._evaluation.subscribers.enabled:
            return []
        changed = await self._database.read(lambda tx: ThreadSubscriptions(tx).rooms(user_id, *between))
        return [room_id for room_id in changed if room_id in rooms]

    async def _kept(
        self, user_id: UserID, room_id: RoomID, rules: UserRules, ignored: frozenset[UserID]
    ) -> _Tally | None:
        """The tally in memory, brought up to date; None if memory does not have what it takes."""
        tally: _Tally | None = self._tallies.get((user_id, room_id))
        if tally is None or tally.rules is not rules or tally.ignored != ignored:
            return None
        if self._struck.get(room_id, 0) > tally.upto:
            return None
        changed = self._recent.changed({room_id}, tally.upto)
        if changed is None:
            return None
        if changed:
            judge = await self._judge(user_id, room_id, rules.in_room(room_id))
            room = self._recent.find(room_id, tally.upto)
            if room is None:
                return None
            events, was, now = room.since(tally.upto), tally.upto, self._journal.position
            subscribed = await self._evaluation.subscribers.among(user_id, events)
            if tally.upto != was:
                return None  # somebody else did it meanwhile
            for stored in events:
                tally.take(stored, judge(stored, subscribed), user_id)
            tally.upto = now
            return tally
        tally.upto = self._journal.position
        return tally

    async def _judge(self, user_id: UserID, room_id: RoomID, rules: PushRules | None) -> Judge:
        """How events of a room are counted: by a user's rules, or by the default ones."""
        if rules is None:
            return lambda stored, subscribed: _by_default(stored, user_id, subscribed)
        circumstances = await self._evaluation.circumstances(user_id, room_id, rules)

        def judge(stored: StoredEvent, subscribed: Collection[EventID] | None) -> tuple[bool, bool]:
            if stored.redacted_by is not None:
                return False, False
            verdict = rules.evaluate(stored.event, at_event(circumstances, stored, subscribed))
            return verdict.notify, verdict.highlight

        return judge

    async def _counted(
        self, user_id: UserID, rooms: Sequence[RoomID], rules: UserRules, ignored: frozenset[UserID]
    ) -> dict[RoomID, _Tally]:
        """Count by the database."""
        upto, epoch = self._journal.position, self._epoch
        own = {room_id: here for room_id in rooms if (here := rules.in_room(room_id)) is not None}
        plain = [room_id for room_id in rooms if room_id not in own]
        judged = [room_id for room_id, here in own.items() if not here.is_silent]
        asked = _Asked(user_id, [*plain, *judged], plain, upto, list(ignored))
        reads, bases, tallied = await self._database.read(lambda tx: _tallied(tx, asked))
        found = {room_id: _Tally(upto, rules, ignored) for room_id in rooms}
        for room_id, pos in bases.items():
            found[room_id].read[UNTHREADED] = pos
        for read in reads:
            if read.thread_id:
                found[read.room_id].read[read.thread_id] = read.pos
        for row in tallied:
            found[row.room_id].unread[row.thread] = (row.notifications, row.highlights, row.last)
        for room_id in judged:
            await self._judge_unread(user_id, room_id, own[room_id], found[room_id], bases[room_id])
        if self._epoch == epoch:
            for room_id, tally in found.items():
                self._tallies.put((user_id, room_id), tally)
        return found

    async def _judge_unread(
        self, user_id: UserID, room_id: RoomID, rules: PushRules, tally: _Tally, base: int
    ) -> None:
        upto = tally.upto
        rows = await self._database.read(lambda tx: Unread(tx).events(room_id, base, upto, MAX_JUDGED))
        judge = await self._judge(user_id, room_id, rules)
        events = self._events.load(rows)
        subscribed = await self._evaluation.subscribers.among(user_id, events)
        for stored in events:
            tally.take(stored, judge(stored, subscribed), user_id)

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        for each in landed:
            if isinstance(each.payload, ReceiptsCommit):
                self._epoch += 1
                self._receipts(each.payload)
            elif isinstance(each.payload, SubscriptionChanged):
                self._epoch += 1
                self._tallies.pop((each.payload.user_id, each.payload.room_id))
            elif isinstance(each.payload, RoomCommit):
                self._room(each.payload, last)
            elif isinstance(each.payload, RoomElsewhere):
                self._room_elsewhere(each.payload, last)

    def _missed(self, upto: int) -> None:
        self._epoch += 1
        self._tallies.clear()

    def _receipts(self, commit: ReceiptsCommit) -> None:
        for row in commit.receipts:
            key = (row.user_id, row.room_id)
            tally: _Tally | None = self._tallies.get(key)
            if tally is None:
                continue
            stored = self._events.cached(row.event_id)
            if stored is None or not tally.read_to(row.thread_id, stored.pos or 0):
                self._tallies.pop(key)

    def _room(self, commit: RoomCommit, last: int) -> None:
        room_id = commit.head.room_id
        if commit.redacted:
            self._strike(room_id, last)
        for change in commit.changes:
            if change.key[0] == MEMBER and change.memberships[0] != change.memberships[1]:
                self._tallies.pop((UserID(change.key[1]), room_id))
                self._epoch += 1

    def _room_elsewhere(self, room: RoomElsewhere, last: int) -> None:
        if room.changed:
            self._strike(room.room_id, last)
        for user_id, _, _ in room.moves:
            self._tallies.pop((user_id, room.room_id))
            self._epoch += 1

    def _strike(self, room_id: RoomID, last: int) -> None:
        if len(self._struck) >= MAX_STRUCK:
            self._struck.clear()
            self._tallies.clear()
        self._struck[room_id] = last
        self._epoch += 1


@dataclass(frozen=True, slots=True)
class _Asked:
    user_id: UserID
    rooms: list[RoomID]
    plain: list[RoomID]
    upto: int
    ignored: list[UserID]


def _tallied(tx: Transaction, asked: _Asked) -> tuple[list[ReadRow], dict[RoomID, int], list[TallyRow]]:
    """Up to where the user has read, as receipts say, in rooms as a whole, and what is unread of plain rooms."""
    table = Unread(tx)
    reads = table.reads(asked.user_id, asked.rooms)
    bases = dict(table.joined_since(asked.user_id, asked.rooms))
    for read in reads:
        if read.thread_id == UNTHREADED:
            bases[read.room_id] = max(bases[read.room_id], read.pos)
    threaded = [read for read in reads if read.thread_id != UNTHREADED]
    tallied = table.tallies(
        user_id=asked.user_id,
        rooms=asked.plain,
        bases=[bases[room_id] for room_id in asked.plain],
        upto=asked.upto,
        limit=MAX_COUNTED,
        read_rooms=[read.room_id for read in threaded],
        read_threads=[read.thread_id for read in threaded],
        read_to=[read.pos for read in threaded],
        ignored=asked.ignored,
    )
    return reads, bases, tallied


def _by_default(
    stored: StoredEvent, user_id: UserID, subscribed: Collection[EventID] | None
) -> tuple[bool, bool]:
    """Whether an event notifies and highlights by the default rules."""
    marks = stored.notable
    if marks & MENTIONS_SOMEBODY and user_id in mentioned_by(stored.event):
        return True, True
    if marks & NOTIFIES_SUBSCRIBERS and subscribed is not None and stored.thread in subscribed:
        return True, False
    return bool(marks & NOTIFIES), bool(marks & HIGHLIGHTS)


def unread_members(counts: RoomCounts, *, by_thread: bool) -> bytes:
    """The counts of a room in `/sync`, as members of a JSON object."""
    if not by_thread:
        return b'"unread_notifications":' + counts.total.json()
    threads = b",".join(b"%b:%b" % (orjson.dumps(root), each.json()) for root, each in counts.threads.items())
    return b'"unread_notifications":%b,"unread_thread_notifications":{%b}' % (counts.main.json(), threads)
