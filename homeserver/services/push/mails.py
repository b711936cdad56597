"""Mails about what users have not read: pushers of the kind `email`.

What such a pusher is owed is in the outbox like that of any other. It waits there a while for the user to read it
elsewhere; what is left then is gathered into one mail. A mail is sent after its link to unsubscribe was stored and
before its rows are struck: after `kill -9` in between it comes twice, and never not at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from homeserver.clock import Clock
from homeserver.gateways.mail import Mailer, MailFailed
from homeserver.protocol.identifiers import RoomID
from homeserver.services.push.digests import Digests
from homeserver.services.push.letters import Letter
from homeserver.services.push.mail_news import MailNews
from homeserver.services.push.mail_pacing import Pacing, Plan
from homeserver.services.push.unsubscribing import Unsubscribing
from storage.database import Database
from storage.leases import Lease
from storage.tables.push_mails import RESTING_ROOMS, MailPusher, RestingRoom
from storage.tables.push_mails import PushMails as StoredMails
from storage.tables.push_outbox import OwedPush
from storage.tables.unread import Unread
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

AT_ONCE: Final = 50
"""So many pushers are looked at in a step."""
MOST_EVENTS: Final = 1000
"""A mail is about the last so many; what is older is struck."""
GIVE_UP_MS: Final = 7 * 24 * 3_600_000
"""What could not be mailed for so long is mailed no more."""
FIRST_PAUSE_MS: Final = 30_000
LONGEST_PAUSE_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class MailPost:
    """What writes mails and what takes them."""

    digests: Digests
    unsubscribing: Unsubscribing
    mailer: Mailer


@dataclass(frozen=True, slots=True)
class _Look:
    """All about a pusher. ``owed`` is in order, ``read`` up to where the user has read the rooms that rest."""

    pusher: MailPusher
    owed: Sequence[OwedPush]
    resting: Sequence[RestingRoom]
    read: Mapping[RoomID, int]

    @property
    def upto(self) -> int:
        return self.owed[-1].pos if self.owed else 0

    @property
    def first(self) -> int:
        """Rows before this position are too many."""
        return self.owed[0].pos if len(self.owed) == MOST_EVENTS else 0


class PushMails:
    """Looks at one pusher at a time, on the node that holds the lease."""

    def __init__(
        self, database: Database, news: MailNews, pacing: Pacing, post: MailPost, clock: Clock
    ) -> None:
        self._database = database
        self._news = news
        self._pacing = pacing
        self._post = post
        self._clock = clock
        self._listeners: list[Callable[[bool], object]] = []

    def listen(self, listener: Callable[[bool], object]) -> None:
        """Have a function called with each mail: whether the mail server took it."""
        self._listeners.append(listener)

    async def due(self) -> Sequence[int]:
        """The pushers to look at."""
        now = self._clock.now_ms()
        return await self._database.read(lambda tx: StoredMails(tx).due(now, AT_ONCE))

    async def look(self, pusher_id: int, lease: Lease) -> bool:
        """Mail what is to be mailed; False if the mail server takes nothing now. Raises LeaseLost."""
        look = await self._database.read(lambda tx: _look(tx, pusher_id))
        if look is None:
            return True
        now = self._clock.now_ms()
        rested = self._pacing.rested(look.resting, look.read, now)
        resting = {room.room_id: room for room in look.resting if room.room_id not in rested}
        news: Mapping[RoomID, Sequence[Letter]] = {}
        if look.pusher.wanted:
            fresh = [row for row in look.owed if row.ts > now - GIVE_UP_MS]
            news = await self._news.of(look.pusher.user_id, fresh)
        plan = self._pacing.plan(news, resting, now)
        if plan.mailed and not await self._mail(look, plan, lease):
            return False
        done = _Done(look, rested, resting, _struck(look, news, plan), plan)
        await self._database.transact(lambda tx: self._note(tx, done, now))
        return True

    async def put_off(self, pusher_id: int) -> None:
        """Leave a pusher alone for a while, longer each time."""
        now = self._clock.now_ms()

        def run(tx: Transaction) -> None:
            pusher = StoredMails(tx).pusher(pusher_id)
            before = 0 if pusher is None else pusher.failing_ms
            pause = min(max(before * 2, FIRST_PAUSE_MS), LONGEST_PAUSE_MS)
            StoredMails(tx).note(pusher_id, 0, now + pause, pause)

        await self._database.transact(run)

    async def _mail(self, look: _Look, plan: Plan, lease: Lease) -> bool:
        """Whether the mail server took it."""
        pusher, unsubscribing = look.pusher, self._post.unsubscribing
        link = unsubscribing.link()
        mail = await self._post.digests.mail(pusher.user_id, pusher.address, plan.mailed, link)

        def store(tx: Transaction) -> None:
            lease.fence(tx)
            unsubscribing.store(tx, link, pusher.user_id, pusher.address)

        await self._database.transact(store)
        try:
            await self._post.mailer.send(mail)
        except MailFailed as failure:
            log.warning("a mail about unread messages was not sent", pusher=pusher.id, why=str(failure))
            self._tell(taken=False)
            await self.put_off(pusher.id)
            return False
        self._tell(taken=True)
        return True

    def _tell(self, *, taken: bool) -> None:
        for listener in self._listeners:
            listener(taken)

    def _note(self, tx: Transaction, done: "_Done", now: int) -> None:
        table, pusher_id, look = StoredMails(tx), done.look.pusher.id, done.look
        if not table.note(pusher_id, look.upto, done.plan.next_ts, 0):
            return
        table.strike(pusher_id, done.struck, look.first)
        if done.rested:
            table.wake(pusher_id, done.rested)
        rows = []
        for room_id, letters in done.plan.mailed.items():
            pause = self._pacing.next_pause(done.resting.get(room_id))
            rows.append((pusher_id, room_id, letters[-1].pos, pause, now + pause))
        RESTING_ROOMS.execute(tx, rows)
        if rows or done.rested:
            table.count(pusher_id)


@dataclass(frozen=True, slots=True)
class _Done:
    """What a look led to."""

    look: _Look
    rested: list[RoomID]
    resting: Mapping[RoomID, RestingRoom]
    struck: list[int]
    plan: Plan


def _struck(look: _Look, news: Mapping[RoomID, Sequence[Letter]], plan: Plan) -> list[int]:
    """The rows of what was mailed, and of what is no news."""
    kept = {
        letter.pos for room_id, letters in news.items() if room_id not in plan.mailed for letter in letters
    }
    return [row.pos for row in look.owed if row.pos not in kept]


def _look(tx: Transaction, pusher_id: int) -> _Look | None:
    table = StoredMails(tx)
    pusher = table.pusher(pusher_id)
    if pusher is None:
        return None
    owed = table.latest(pusher_id, MOST_EVENTS)[::-1]
    resting = table.resting(pusher_id)
    read: dict[RoomID, int] = {}
    if resting:
        for row in Unread(tx).reads(pusher.user_id, [room.room_id for room in resting]):
            read[row.room_id] = max(read.get(row.room_id, 0), row.pos)
    return _Look(pusher, owed, resting, read)
