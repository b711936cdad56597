"""Delayed events: scheduling them, and what may be done with them until they are sent.

https://github.com/matrix-org/matrix-spec-proposals/pull/4140
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.clock import Clock, Randomness
from homeserver.protocol.canonical_json import check_canonical
from homeserver.protocol.errors import (
    BadJson,
    EventTooLarge,
    Finalised,
    Forbidden,
    InvalidParam,
    LimitExceeded,
    NotFound,
)
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.rooms.actions import require_not_suspended
from storage.database import Database
from storage.tables.delayed_events import DelayedEvent, Outcome
from storage.tables.delayed_events import DelayedEvents as StoredDelayedEvents
from storage.tables.users import Users
from storage.transaction import Transaction

Json = dict[str, Any]

MAX_CONTENT_BYTES = 65_536
MAX_TYPE_BYTES = 255
KEPT_MS = 7 * 24 * 3_600_000
KEPT = 1000
"""Finalised ones that are kept for a user, and for how long: what the proposal recommends."""
_ID_BYTES = 24


class DelayTooLong(Forbidden, says="The delay is longer than this server allows"):
    """The delay exceeds ``max_delay_ms``."""

    def __init__(self, max_delay_ms: int) -> None:
        extra: dict[str, Any] = {"org.matrix.msc4140.max_delay": max_delay_ms}
        super().__init__(**extra)
        self.max_delay_ms = max_delay_ms


@dataclass(frozen=True, slots=True)
class Limits:
    """What users may schedule."""

    max_delay_ms: int
    max_scheduled: int


@dataclass(frozen=True, slots=True)
class Order:
    """An event to be sent later. Without a ``state_key`` it is a message; ``origin_ts`` is for application services."""

    room_id: RoomID
    type: str
    content: dict[str, Any]
    state_key: str | None = None
    origin_ts: int | None = None
    sticky_ms: int | None = None


class DelayedEvents:
    """The delayed events of local users."""

    def __init__(self, database: Database, clock: Clock, random: Randomness, limits: Limits) -> None:
        self._database = database
        self._clock = clock
        self._random = random
        self._limits = limits
        self._scheduled: list[Callable[[], None]] = []

    def when_scheduled(self, listener: Callable[[], None]) -> None:
        """Call when it may have become sooner that an event is due."""
        self._scheduled.append(listener)

    async def schedule(self, who: Requester, order: Order, delay_ms: int, txn_id: str | None) -> str:
        """Have an event sent after so many milliseconds; its delay ID. The same transaction again gives the same.

        Whether the user may send it is judged when it is sent. Raises DelayTooLong, Forbidden where nobody may
        schedule any, LimitExceeded, InvalidParam, BadJson, EventTooLarge, UserSuspended.
        """
        require_not_suspended(who)
        content = self._checked(order, delay_ms)
        txn = None if txn_id is None else f"{who.device_id or ''} {txn_id}"
        delay_id = self._random.token(_ID_BYTES)
        origin_ts = order.origin_ts if who.appservice_id is not None else None

        def add(tx: Transaction) -> str:
            delayed = StoredDelayedEvents(tx)
            Users(tx).lock_row(who.user_id)
            known = None if txn is None else delayed.of_transaction(who.user_id, txn)
            if known is not None:
                return known
            self._check_number(delayed, who.user_id)
            delayed.add(
                delay_id,
                who.user_id,
                who.device_id,
                who.appservice_id,
                txn,
                order.room_id,
                order.type,
                order.state_key,
                content,
                origin_ts,
                order.sticky_ms,
                delay_ms,
                self._clock.now_ms(),
            )
            return delay_id

        scheduled = await self._database.transact(add)
        self._tell()
        return scheduled

    async def restart(self, delay_id: str) -> None:
        """Begin its delay anew. Raises NotFound, Finalised."""
        now = self._clock.now_ms()
        if not await self._database.transact(lambda tx: StoredDelayedEvents(tx).restart(delay_id, now)):
            await self.outcome(delay_id)
            raise Finalised

    async def cancel(self, delay_id: str) -> None:
        """Never send it. Raises NotFound, Finalised if it was sent."""
        now = self._clock.now_ms()
        done = await self._database.transact(
            lambda tx: StoredDelayedEvents(tx).finalise(delay_id, None, now, None, None)
        )
        if not done and (await self.outcome(delay_id)).event_id is not None:
            raise Finalised

    async def outcome(self, delay_id: str) -> Outcome:
        """How one that is not scheduled any more ended. Raises NotFound."""
        found = await self._database.read(lambda tx: StoredDelayedEvents(tx).outcome(delay_id))
        if found is None:
            raise NotFound("Delayed event not found")
        return found

    async def one(self, who: Requester, delay_id: str) -> Json:
        """A delayed event of the user's own, and how it ended. Raises NotFound."""

        def read(tx: Transaction) -> tuple[DelayedEvent | None, Outcome | None]:
            delayed = StoredDelayedEvents(tx)
            return delayed.find(delay_id), delayed.outcome(delay_id)

        found, outcome = await self._database.read(read)
        if found is None or found.user_id != who.user_id:
            raise NotFound("Delayed event not found")
        return _shown(found, outcome)

    async def all_scheduled(self, who: Requester) -> list[Json]:
        """The user's own that are to come, the first one first."""
        found = await self._database.read(lambda tx: StoredDelayedEvents(tx).of_user(who.user_id))
        return [_shown(each, None) for each in found]

    async def forget_user(self, user_id: UserID) -> None:
        """Drop all of a user who is gone."""
        await self._database.transact(lambda tx: StoredDelayedEvents(tx).forget_user(user_id))

    def _checked(self, order: Order, delay_ms: int) -> str:
        if self._limits.max_scheduled == 0:
            raise Forbidden("Nobody may schedule events on this server")
        if delay_ms < 1:
            raise InvalidParam("The delay must be positive")
        if delay_ms > self._limits.max_delay_ms:
            raise DelayTooLong(self._limits.max_delay_ms)
        if len(order.type.encode()) > MAX_TYPE_BYTES or "\0" in f"{order.type}{order.state_key or ''}":
            raise BadJson("Not a type or state key of an event")
        check_canonical(order.content)
        content = orjson.dumps(order.content)
        if len(content) > MAX_CONTENT_BYTES:
            raise EventTooLarge
        return content.decode()

    def _check_number(self, delayed: StoredDelayedEvents, user_id: UserID) -> None:
        count, soonest = delayed.scheduled(user_id)
        if count >= self._limits.max_scheduled:
            wait = max((soonest or 0) - self._clock.now_ms(), 1)
            raise LimitExceeded("You have as many delayed events as you may have", retry_after_ms=wait)

    def _tell(self) -> None:
        for listener in self._scheduled:
            listener()


def sent_as(outcome: Outcome) -> EventID:
    """The event that a delayed one became. Raises Finalised if it was not sent."""
    if outcome.event_id is None:
        raise Finalised
    return outcome.event_id


def _shown(event: DelayedEvent, outcome: Outcome | None) -> Json:
    """By today's names and by those that clients still look for."""
    shown: Json = {
        "delay_id": event.delay_id,
        "room_id": event.room_id,
        "type": event.type,
        "content": orjson.loads(event.content),
        "delay_ms": event.delay_ms,
        "delay": event.delay_ms,
        "scheduled_at": event.since_ts,
        "delayed_since_ts": event.since_ts,
        "running_since": event.since_ts,
    }
    if event.state_key is not None:
        shown["state_key"] = event.state_key
    if outcome is not None:
        shown["finalised_ts"] = outcome.finalised_ts
        if outcome.event_id is not None:
            shown["event_id"] = outcome.event_id
        if outcome.error is not None:
            shown["error"] = orjson.loads(outcome.error)
    return shown
