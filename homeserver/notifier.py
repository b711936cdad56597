"""Who waits for news: long polls by user, woken when something concerns the user, at the latest after their timeout.

It knows nothing of rooms: whoever follows them names the users to wake. Timeouts are kept on a wheel of
coarse ticks with one timer for all, and wake-ups are spread over turns of the reactor, so that neither
thousands of idle polls nor the message that wakes them all stop everything else.
"""

from collections import deque
from collections.abc import Callable, Iterable
from math import ceil
from typing import Final

from twisted.internet.defer import Deferred

from homeserver.clock import Clock, Timer
from homeserver.protocol.identifiers import UserID

TICK: Final = 0.1
"""Seconds: a poll may end so much after its timeout."""
TURN: Final = 0.012
"""Seconds that one turn of the reactor spends on waking: a few hundred polls, before their clients ask again."""


class _Waiter:
    __slots__ = ("done", "tick", "user_id", "woken_at")

    def __init__(self, user_id: UserID, tick: int) -> None:
        self.user_id = user_id
        self.tick = tick
        self.done: Deferred[None] = Deferred()
        self.woken_at: float | None = None


class Notifier:
    """Lets polls wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[UserID, list[_Waiter]] = {}
        self._wheel: dict[int, set[_Waiter]] = {}
        self._timer: Timer | None = None
        self._due: deque[_Waiter] = deque()
        self._waking = False
        self._listeners: list[Callable[[float], object]] = []
        self.closing = False

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(waiters) for waiters in self._waiting.values())

    def is_waiting(self, user_id: UserID) -> bool:
        """Whether a poll of the user waits."""
        return user_id in self._waiting

    def listen(self, listener: Callable[[float], object]) -> None:
        """Have a function called with the seconds that each delivery of news took."""
        self._listeners.append(listener)

    def delivered(self, woken_at: float) -> None:
        """A poll that was woken at this time has its answer now."""
        took = self._clock.seconds() - woken_at
        for listener in self._listeners:
            listener(took)

    async def wait(self, user_id: UserID, seconds: float) -> float | None:
        """Return when the user is woken, when the time is over, or when the program is about to end; gives when
        there was news to wake for (`Clock.seconds`), None if there was none.
        """
        if self.closing or seconds <= 0:
            return None
        waiter = _Waiter(user_id, ceil((self._clock.seconds() + seconds) / TICK))
        waiters = self._waiting.get(user_id)
        if waiters is None:
            self._waiting[user_id] = [waiter]
        else:
            waiters.append(waiter)
        bucket = self._wheel.get(waiter.tick)
        if bucket is None:
            self._wheel[waiter.tick] = {waiter}
        else:
            bucket.add(waiter)
        if self._timer is None:
            self._timer = self._clock.call_later(TICK, self._turn)
        try:
            await waiter.done
        finally:
            self._forget(waiter)
        return waiter.woken_at

    def wake(self, user_ids: Iterable[UserID]) -> None:
        """Let the polls of these users return, soon."""
        waiting = self._waiting
        now = self._clock.seconds()
        for user_id in user_ids:
            for waiter in waiting.get(user_id, ()):
                if waiter.woken_at is None:
                    waiter.woken_at = now
                    self._due.append(waiter)
        if self._due and not self._waking:
            self._waking = True
            self._clock.call_later(0, self._wake_some)

    def wake_all(self) -> None:
        """Let all polls return, soon."""
        self.wake(list(self._waiting))

    def close(self) -> None:
        """Let all polls return now, and all to come at once."""
        self.closing = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        for waiters in list(self._waiting.values()):
            for waiter in list(waiters):
                _fire(waiter)

    def _wake_some(self) -> None:
        until = self._clock.seconds() + TURN
        due = self._due
        while due:
            _fire(due.popleft())
            if self._clock.seconds() >= until:
                break
        if due:
            self._clock.call_later(0, self._wake_some)
        else:
            self._waking = False

    def _turn(self) -> None:
        self._timer = None
        now = int(self._clock.seconds() / TICK)
        for tick in [tick for tick in self._wheel if tick <= now]:
            for waiter in list(self._wheel[tick]):
                _fire(waiter)
        if self._wheel and not self.closing:
            self._timer = self._clock.call_later(TICK, self._turn)

    def _forget(self, waiter: _Waiter) -> None:
        waiters = self._waiting.get(waiter.user_id)
        if waiters is not None and waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[waiter.user_id]
        bucket = self._wheel.get(waiter.tick)
        if bucket is not None:
            bucket.discard(waiter)
            if not bucket:
                del self._wheel[waiter.tick]


def _fire(waiter: _Waiter) -> None:
    if not waiter.done.called:
        waiter.done.callback(None)
