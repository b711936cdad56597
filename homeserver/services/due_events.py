"""Sending delayed events: when they are due, or when somebody wants it at once.

Each is sent exactly once. Its outcome is written in the transaction of the event, and cannot be written twice; nor
can it if the delayed event was restarted since it was read. A membership event may take requests to other servers, so
its outcome comes after it: what was begun before a restart is looked for in the room first.

https://github.com/matrix-org/matrix-spec-proposals/pull/4140
"""

from typing import Protocol

import orjson
import structlog
from twisted.internet.defer import CancelledError, Deferred, DeferredList

from homeserver.clock import Clock
from homeserver.protocol.errors import Forbidden, MatrixError, NotFound, Unknown, UserDeactivated, UserLocked
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.services.delayed_events import sent_as
from homeserver.services.keyed_locks import KeyedLocks
from homeserver.services.rooms.actions import MEMBER, RoomActions
from homeserver.services.rooms.sending import Sending, SendOptions
from homeserver.services.rooms.transactions import Delay
from storage.database import Database, DatabaseUnavailable
from storage.tables.delayed_events import DelayedEvent, DelayedEvents
from storage.tables.users import Account, Users

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Events that are being sent at the same time at most."""


class SendLimit(Protocol):
    """How many events a user may send."""

    def take(self, key: str) -> None:
        """Count one. Raises LimitExceeded."""


class DueEvents:
    """Sends delayed events."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        sending: Sending,
        actions: RoomActions,
        limit: SendLimit | None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._sending = sending
        self._actions = actions
        self._limit = limit
        self._rooms: KeyedLocks[RoomID] = KeyedLocks()
        self._under_way: dict[str, Deferred[None]] = {}

    async def send_due(self) -> int | None:
        """Begin to send what is due, in its order within a room; when the next one is due."""
        but, now = list(self._under_way), self._clock.now_ms()
        room = AT_ONCE - len(but)
        for delayed in await self._database.read(lambda tx: DelayedEvents(tx).due(now, but, room)):
            self._start(delayed)
        but = list(self._under_way)
        return await self._database.read(lambda tx: DelayedEvents(tx).next_due(but))

    async def end(self) -> None:
        """Break off what is under way: what is not on its way into the database stays scheduled."""
        under_way = list(self._under_way.values())
        for each in under_way:
            each.cancel()
        await DeferredList(under_way)

    async def send_now(self, delay_id: str) -> EventID:
        """Send one that is not due yet; if it was sent already, the event that it became.

        Raises NotFound, Finalised if it was cancelled, and what sending it raises: then it stays scheduled.
        """
        delayed = await self._database.read(lambda tx: DelayedEvents(tx).find(delay_id))
        if delayed is None:
            raise NotFound("Delayed event not found")
        if delayed.due_ts is None:
            return await self._sent_already(delay_id)
        try:
            return await self._send(delayed)
        except Exception:
            if await self._is_as_read(delayed):
                raise
        return await self._sent_already(delay_id)

    def _start(self, delayed: DelayedEvent) -> None:
        started = Deferred.fromCoroutine(self._in_turn(delayed))
        if started.called:
            return
        self._under_way[delayed.delay_id] = started

    async def _in_turn(self, delayed: DelayedEvent) -> None:
        try:
            async with self._rooms.holding(delayed.room_id):
                await self._send_or_fail(delayed)
        except CancelledError:
            log.info("a delayed event is sent after the next start", delay_id=delayed.delay_id)
        except Exception:
            log.exception("a delayed event could not be sent yet", delay_id=delayed.delay_id)
        finally:
            self._under_way.pop(delayed.delay_id, None)

    async def _send_or_fail(self, delayed: DelayedEvent) -> None:
        try:
            await self._send(delayed)
        except (DatabaseUnavailable, CancelledError):
            raise
        except Exception as error:
            if not await self._is_as_read(delayed):
                return  # somebody else sent, restarted or cancelled it
            if not isinstance(error, MatrixError):
                log.exception("a delayed event cannot be sent, by a bug", delay_id=delayed.delay_id)
                error = Unknown("Internal server error")
            await self._end(delayed, None, orjson.dumps(error.body()).decode())

    async def _send(self, delayed: DelayedEvent) -> EventID:
        who = _requester(delayed, await self._database.read(lambda tx: Users(tx).account(delayed.user_id)))
        content = orjson.loads(delayed.content)
        if delayed.type == MEMBER and delayed.state_key is not None:
            return await self._send_membership(delayed, who)
        self._count(who)
        delay = Delay(delayed.delay_id, delayed.due_ts or 0)
        options = SendOptions(delayed.origin_ts, delay, delayed.sticky_ms)
        if delayed.state_key is None:
            return await self._sending.send(who, delayed.room_id, delayed.type, None, content, options)
        return await self._sending.put_state(
            who, delayed.room_id, delayed.type, delayed.state_key, content, options
        )

    async def _send_membership(self, delayed: DelayedEvent, who: Requester) -> EventID:
        now, state_key = self._clock.now_ms(), delayed.state_key or ""
        content = orjson.loads(delayed.content)
        if delayed.begun_ts is not None:
            made = await self._member(delayed.room_id, state_key)
            wanted = (who.user_id, content.get("membership"))
            if made is not None and (made.sender, made.membership) == wanted:
                if made.origin_server_ts >= delayed.begun_ts:
                    await self._end(delayed, made.event_id, None)
                    return made.event_id
        self._count(who)
        await self._database.transact(lambda tx: DelayedEvents(tx).begin(delayed.delay_id, now))
        event_id = await self._sending.put_state(who, delayed.room_id, MEMBER, state_key, content)
        await self._end(delayed, event_id, None)
        return event_id

    async def _member(self, room_id: RoomID, user_id: str) -> Event | None:
        head = await self._actions.heads.find(room_id)
        found = None if head is None else await self._actions.states.find(head.state, MEMBER, user_id)
        return None if found is None else found.event

    def _count(self, who: Requester) -> None:
        if self._limit is not None and who.appservice_id is None:
            self._limit.take(who.user_id)

    async def _end(self, delayed: DelayedEvent, event_id: EventID | None, error: str | None) -> None:
        now = self._clock.now_ms()
        await self._database.transact(
            lambda tx: DelayedEvents(tx).finalise(delayed.delay_id, delayed.due_ts, now, event_id, error)
        )

    async def _is_as_read(self, delayed: DelayedEvent) -> bool:
        now = await self._database.read(lambda tx: DelayedEvents(tx).find(delayed.delay_id))
        return now is not None and now.due_ts == delayed.due_ts

    async def _sent_already(self, delay_id: str) -> EventID:
        outcome = await self._database.read(lambda tx: DelayedEvents(tx).outcome(delay_id))
        if outcome is None:
            raise NotFound("Delayed event not found")
        return sent_as(outcome)


def _requester(delayed: DelayedEvent, account: Account | None) -> Requester:
    """The user as they are now. Raises UserDeactivated, UserLocked, Forbidden."""
    if account is None:
        raise Forbidden("There is no such account any more")
    if account.deactivated:
        raise UserDeactivated
    if account.locked:
        raise UserLocked
    return Requester(
        delayed.user_id,
        delayed.device_id,
        None,
        is_guest=account.is_guest,
        is_admin=account.is_admin,
        appservice_id=delayed.appservice_id,
        is_suspended=account.suspended,
    )
