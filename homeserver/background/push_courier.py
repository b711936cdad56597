"""Who is pushed when: one pusher after the other at each gateway, a bounded number at a time.

A gateway that does not answer is left alone, and what is for it waits; so does what is for a single pusher that its
gateway does not take. What makes a sound goes before what does not: a word to one person does not wait for a room of
thousands. And all of it gives way to who sends messages: when the event loop is late, there is a rest before the next
one.
"""

from collections import deque
from collections.abc import AsyncIterator, Container, Iterable
from contextlib import asynccontextmanager
from typing import Final

import structlog
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore

from homeserver.clock import Clock, Timer
from homeserver.gateways.push_gateway import gateway_of
from homeserver.services.push.delivery import COUNTS_WAIT_S, Done, PushDelivery, target_of
from homeserver.services.push.failures import PushFailures
from storage.tables.push_outbox import EarRow

log = structlog.get_logger(__name__)

AT_ONCE: Final = 64
"""Over all gateways."""
LATE_S: Final = 0.003
"""An event loop that is so late has much to do."""
REST: Final = 8.0
"""Rest then, as a multiple of how late it is."""
_LONGEST_REST_S: Final = 0.5
_RETRY_S: Final = 10.0
"""After a failure that has nothing to do with the gateway."""


class _Gateway:
    """What waits for one gateway, and how many deliveries are under way to it."""

    __slots__ = ("busy", "timer", "urgent", "waiting")

    def __init__(self) -> None:
        self.urgent: deque[int] = deque()
        self.waiting: deque[int] = deque()
        self.busy = 0
        self.timer: Timer | None = None


class PushCourier:
    """Has pushers delivered to. `stop` ends what is under way."""

    def __init__(
        self, delivery: PushDelivery, failures: PushFailures, clock: Clock, per_gateway: int
    ) -> None:
        self._delivery = delivery
        self._failures = failures
        self._clock = clock
        self._per_gateway = per_gateway
        self._slots = DeferredSemaphore(AT_ONCE)
        self._gateways: dict[str, _Gateway] = {}
        self._queued: set[int] = set()
        self._busy: set[int] = set()
        self._tasks: dict[int, Deferred[None]] = {}
        self._stops = 0
        self._again: set[int] = set()
        self._pauses: dict[int, Timer] = {}
        self._naps: dict[int, Timer] = {}

    def __len__(self) -> int:
        """How many pushers have something coming."""
        return len(self._queued) + len(self._busy) + len(self._pauses) + len(self._naps)

    def add(self, ears: Iterable[EarRow], urgent: Container[int] = ()) -> None:
        """Something is owed to these, to some of them urgently. Those without a URL are not ours: they mail."""
        for ear in sorted(ears, key=lambda ear: ear.id not in urgent):
            if ear.url is not None:
                _cancel(self._naps.pop(ear.id, None))
                self._enqueue(ear.id, gateway_of(ear.url), urgent=ear.id in urgent)

    def stop(self) -> None:
        """Deliver no more: what is left stays in the outbox."""
        self._stops += 1
        for gateway in self._gateways.values():
            _cancel(gateway.timer)
        for timer in (*self._pauses.values(), *self._naps.values()):
            _cancel(timer)
        tasks = list(self._tasks.values())
        for forgotten in (self._gateways, self._queued, self._again, self._busy, self._tasks):
            forgotten.clear()
        self._pauses.clear()
        self._naps.clear()
        for task in tasks:
            task.cancel()

    def _enqueue(self, pusher_id: int, name: str, *, urgent: bool = False) -> None:
        if pusher_id in self._busy:
            self._again.add(pusher_id)
            return
        gateway = self._gateways.setdefault(name, _Gateway())
        if pusher_id in self._queued:
            if not urgent or pusher_id in gateway.urgent:
                return
            gateway.waiting.remove(pusher_id)
        elif pusher_id in self._pauses:
            return
        self._queued.add(pusher_id)
        (gateway.urgent if urgent else gateway.waiting).append(pusher_id)
        self._pump(name)

    def _pump(self, name: str) -> None:
        """Begin as many deliveries to a gateway as there may be."""
        gateway = self._gateways.get(name)
        if gateway is None:
            return
        while (gateway.urgent or gateway.waiting) and gateway.busy < self._per_gateway:
            pause = self._failures.seconds_until_retry(name)
            if pause > 0:
                if gateway.timer is None or not gateway.timer.active():
                    gateway.timer = self._clock.call_later(pause, self._pump, name)
                return
            pusher_id = (gateway.urgent or gateway.waiting).popleft()
            self._queued.discard(pusher_id)
            rest = self._failures.seconds_until_retry(target_of(pusher_id))
            if rest > 0:
                self._pause(pusher_id, name, rest)
                continue
            self._begin(pusher_id, name, gateway)
        if (
            not gateway.urgent
            and not gateway.waiting
            and not gateway.busy
            and self._gateways.get(name) is gateway
        ):
            _cancel(gateway.timer)
            del self._gateways[name]

    def _begin(self, pusher_id: int, name: str, gateway: _Gateway) -> None:
        gateway.busy += 1
        self._busy.add(pusher_id)
        task = Deferred.fromCoroutine(self._deliver(pusher_id, name, gateway, self._stops))
        if pusher_id in self._busy and not task.called:
            self._tasks[pusher_id] = task

    async def _deliver(self, pusher_id: int, name: str, gateway: _Gateway, stops: int) -> None:
        done, failed = Done.ALL, False
        try:
            async with self._slot():
                await self._give_way()
                done = await self._delivery.deliver(pusher_id)
        except CancelledError:
            return
        except Exception:
            log.exception("a push failed and will be tried again", pusher=pusher_id)
            failed = True
        if stops != self._stops:
            return
        gateway.busy -= 1
        self._busy.discard(pusher_id)
        self._tasks.pop(pusher_id, None)
        again = pusher_id in self._again
        self._again.discard(pusher_id)
        if failed:
            self._pause(pusher_id, name, _RETRY_S)
        elif done is Done.WAITS and not again:
            self._naps[pusher_id] = self._clock.call_later(COUNTS_WAIT_S, self._wake, pusher_id, name)
        elif again or done is not Done.ALL:
            self._enqueue(pusher_id, name)
        self._pump(name)

    async def _give_way(self) -> None:
        began = self._clock.seconds()
        await self._clock.sleep(0)
        late = self._clock.seconds() - began
        if late > LATE_S:
            await self._clock.sleep(min(REST * late, _LONGEST_REST_S))

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        await self._slots.acquire()
        try:
            yield
        finally:
            self._slots.release()

    def _pause(self, pusher_id: int, name: str, seconds: float) -> None:
        self._pauses[pusher_id] = self._clock.call_later(seconds, self._resume, pusher_id, name)

    def _wake(self, pusher_id: int, name: str) -> None:
        self._naps.pop(pusher_id, None)
        self._enqueue(pusher_id, name)

    def _resume(self, pusher_id: int, name: str) -> None:
        self._pauses.pop(pusher_id, None)
        self._enqueue(pusher_id, name)


def _cancel(timer: Timer | None) -> None:
    if timer is not None and timer.active():
        timer.cancel()
