"""Delivering what one pusher is owed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import structlog

from homeserver.clock import Clock
from homeserver.gateways.push_gateway import PushFailed, PushGateways, gateway_of
from homeserver.services.email_proofs import EMAIL
from homeserver.services.push.badges import Badge, Badges
from homeserver.services.push.failures import PushFailures
from homeserver.services.push.letters import Letters
from homeserver.services.push.turns import AT_ONCE, Turn, Turns
from storage.database import Database
from storage.journal import Journal, Write
from storage.tables.push_outbox import DONE_PUSHES, TOLD_BADGES, OwedPush, PushOutbox
from storage.tables.pushers import PusherRow, Pushers

log = structlog.get_logger(__name__)


class Outcome(Enum):
    """What became of a push."""

    SENT = "sent"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"


COUNTS_WAIT_S: Final = 1.0
"""So long counts wait for something else to go with: who reads elsewhere, reads more than one room."""


class Done(Enum):
    """How a turn of a pusher ended: nothing is left, something is, it has to be left alone for a while, or only counts
    are left, which wait a moment.
    """

    ALL = 1
    SOME = 2
    PAUSED = 3
    WAITS = 4


OutcomeListener = Callable[[Outcome, float | None], object]
"""Called with what became of a push, and for one that was sent the seconds since what it is about."""


@dataclass(frozen=True, slots=True)
class Post:
    """What takes pushes, how it works, and what it is given."""

    turns: Turns
    gateways: PushGateways
    failures: PushFailures
    letters: Letters
    badges: Badges


class PushDelivery:
    """Delivers to one pusher at a time; the caller sees to it that nobody else delivers to the same."""

    def __init__(
        self, database: Database, journal: Journal, post: Post, clock: Clock, give_up_after_ms: int
    ) -> None:
        self._database = database
        self._journal = journal
        self._post = post
        self._clock = clock
        self._give_up_after_ms = give_up_after_ms
        self._listeners: list[OutcomeListener] = []

    def listen(self, listener: OutcomeListener) -> None:
        """Have a function called with the outcome of each push."""
        self._listeners.append(listener)

    async def deliver(self, pusher_id: int) -> Done:
        """Deliver what is owed, the oldest first."""
        turn = await self._post.turns.of(pusher_id)
        pusher, owed = (None, ()) if turn is None else (turn.pusher, turn.owed)
        if pusher is not None and pusher.kind == EMAIL:
            return Done.ALL  # since it was queued it has become one that mails
        if turn is None or pusher is None or pusher.url is None or not pusher.enabled:
            await self._database.transact(lambda tx: PushOutbox(tx).drop(pusher_id))
            return Done.ALL
        if not owed:
            return Done.ALL
        if self._may_wait(owed):
            return Done.WAITS
        fresh = self._unexpired(owed)
        try:
            if await self._deliver(turn, pusher.url, fresh):
                return Done.SOME if len(owed) == AT_ONCE else Done.ALL
            return Done.ALL
        except PushFailed as failure:
            self._tell(Outcome.FAILED)
            target = gateway_of(pusher.url) if failure.everybody else target_of(pusher_id)
            log.info("a push failed", gateway=gateway_of(pusher.url), pusher=pusher_id, why=str(failure))
            await self._post.failures.failed(target, failure.pause_ms)
            return Done.PAUSED

    def _may_wait(self, owed: Iterable[OwedPush]) -> bool:
        """Whether there is nothing but counts, and these only just changed."""
        young = self._clock.now_ms() - COUNTS_WAIT_S * 1000
        return all(row.event_nid is None and row.ts > young for row in owed)

    def _unexpired(self, owed: Iterable[OwedPush]) -> list[OwedPush]:
        oldest = self._clock.now_ms() - self._give_up_after_ms
        fresh = []
        for row in owed:
            if row.ts >= oldest:
                fresh.append(row)
            elif row.event_nid is not None:
                self._tell(Outcome.EXPIRED)
        return fresh

    async def _deliver(self, turn: Turn, url: str, fresh: Iterable[OwedPush]) -> bool:
        """Push event by event; False if the gateway does not know the pusher any more. Raises PushFailed."""
        pusher, letters, post = turn.pusher, self._post.letters, self._post
        due = await letters.due(fresh, turn.standing)
        badge = await post.badges.of(pusher.user_id, turn.rooms)
        for letter in due:
            body = await letters.about(pusher, letter, badge)
            if not await self._notify(pusher, url, body, letter.stored.received_ts):
                return False
            await self._done(pusher, [letter.pos], badge)
        if not due and badge.unread != pusher.badge:
            if not await self._notify(pusher, url, letters.counts(pusher, badge), None):
                return False
        pushed = {letter.pos for letter in due}
        told = badge if due or badge.unread != pusher.badge else None
        await self._done(pusher, [row.pos for row in turn.owed if row.pos not in pushed], told)
        return True

    async def _notify(self, pusher: PusherRow, url: str, body: bytes, since_ms: int | None) -> bool:
        rejected = await self._post.gateways.notify(url, body)
        await self._post.failures.worked(gateway_of(url))
        await self._post.failures.worked(target_of(pusher.id))
        if pusher.pushkey in rejected:
            self._tell(Outcome.REJECTED)
            log.info("a gateway rejected a pusher", gateway=gateway_of(url), pusher=pusher.id)
            keys = [pusher.pushkey]
            await self._database.transact(lambda tx: Pushers(tx).delete_rejected(pusher.app_id, keys, url))
            await self._database.transact(lambda tx: PushOutbox(tx).drop(pusher.id))
            return False
        self._tell(Outcome.SENT, since_ms)
        return True

    async def _done(self, pusher: PusherRow, positions: Iterable[int], told: Badge | None) -> None:
        """Strike what needs no push any more; it shares its commit with whatever else is written."""
        entries = [DONE_PUSHES.row(pusher.id, pos) for pos in positions]
        if told is not None:
            entries.append(TOLD_BADGES.row(pusher.id, told.unread))
        if entries:
            done: Write[None] = Write(entries=entries)
            await self._journal.write(done)

    def _tell(self, outcome: Outcome, since_ms: int | None = None) -> None:
        seconds = None if since_ms is None else (self._clock.now_ms() - since_ms) / 1000
        for listener in self._listeners:
            listener(outcome, seconds)


def target_of(pusher_id: int) -> str:
    """What failures of one pusher are counted under."""
    return f"pusher {pusher_id}"
