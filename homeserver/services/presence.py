"""Presence: who is here. Kept in memory, derived from live syncs, told in batches.

https://spec.matrix.org/v1.19/client-server-api/#presence
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.clock import Clock, Timer
from homeserver.protocol.errors import Forbidden, InvalidParam
from homeserver.protocol.identifiers import ServerName, UserID, server_of
from homeserver.protocol.requester import Requester
from homeserver.services.ephemeral_stream import EphemeralStream

ONLINE: Final = "online"
UNAVAILABLE: Final = "unavailable"
OFFLINE: Final = "offline"
STATES: Final = (ONLINE, UNAVAILABLE, OFFLINE)

SYNC_GRACE_S: Final = 30.0
"""So long after their last sync ended, a user is offline."""
IDLE_S: Final = 300.0
"""So long after their last activity, a user who is online is unavailable."""
SWEEP_S: Final = 5.0
BATCH_S: Final = 0.01
"""Changes within so many seconds are told together."""
COST_OF_WAKING: Final = 0.001
"""Seconds until the next batch for each poll that a batch wakes: presence takes a small share of the
processor however many come and go at once.
"""
MAX_STATUS: Final = 2048
MAX_USERS: Final = 100_000

Wake = Callable[[Sequence[UserID]], int]
LocalListener = Callable[[Sequence["Status"]], None]


@dataclass(slots=True)
class Status:
    """The presence of a user. Times are of `Clock.seconds`; ``syncs`` counts the polls that wait."""

    user_id: UserID
    presence: str = OFFLINE
    status_msg: str | None = None
    active_at: float | None = None
    synced_at: float = 0.0
    syncs: int = 0
    position: int = 0
    chosen: str = ONLINE
    """What the user's clients say of themselves while they sync."""


class Presence:
    """The presence of local users, and of others as their servers tell it. Where it is not enabled, everybody is
    offline.
    """

    def __init__(
        self, server_name: ServerName, stream: EphemeralStream, clock: Clock, *, enabled: bool = True
    ) -> None:
        self._enabled = enabled
        self._server_name = server_name
        self._stream = stream
        self._clock = clock
        self._users: OrderedDict[UserID, Status] = OrderedDict()
        self._dirty: dict[UserID, Status] = {}
        self._flush_timer: Timer | None = None
        self._sweep_timer: Timer | None = None
        self._next_flush = 0.0
        self._wake: Wake = lambda user_ids: 0
        self._local_changed: list[LocalListener] = []
        self.position = 0
        """The ephemeral position of the last change."""

    def wakes(self, wake: Wake) -> None:
        """Set who wakes those who share rooms with some users; gives how many polls that were."""
        self._wake = wake

    def when_local_changed(self, listener: LocalListener) -> None:
        """Call with local users whose presence changed, in batches: what other servers may be told."""
        self._local_changed.append(listener)

    def put(self, who: Requester, user_id: UserID, presence: str, status_msg: str | None) -> None:
        """A user sets their own presence. Raises Forbidden, InvalidParam."""
        if who.user_id != user_id:
            raise Forbidden("You can only set your own presence")
        if presence not in STATES:
            raise InvalidParam("`presence` must be online, unavailable or offline")
        if status_msg is not None and len(status_msg) > MAX_STATUS:
            raise InvalidParam(f"`status_msg` may have at most {MAX_STATUS} characters")
        if not self._enabled:
            return
        status = self._status(user_id)
        status.synced_at = self._clock.seconds()
        status.chosen = presence
        self._change(status, presence, status_msg, active=presence == ONLINE)

    def of(self, user_id: UserID) -> Status:
        """The presence of a user; offline for those of whom nothing is known."""
        return self._users.get(user_id) or Status(user_id)

    def receive(
        self, user_id: UserID, presence: str, status_msg: str | None, last_active_ago_ms: int | None
    ) -> None:
        """The presence of a user of another server, from an EDU of that server."""
        if self._enabled and presence in STATES and (status_msg is None or len(status_msg) <= MAX_STATUS):
            status = self._status(user_id)
            self._change(status, presence, status_msg, active=False)
            if last_active_ago_ms is not None:
                status.active_at = self._clock.seconds() - max(last_active_ago_ms, 0) / 1000

    def sync_began(self, user_id: UserID, presence: str | None) -> None:
        """A client of the user polls, and says how it is."""
        if presence == OFFLINE or not self._enabled:
            return
        status = self._status(user_id)
        status.syncs += 1
        now = status.synced_at = self._clock.seconds()
        chosen = presence or ONLINE
        if chosen != status.chosen and presence is not None:
            status.chosen = chosen
        if status.presence == OFFLINE:
            status.active_at = now
            self._change(
                status, status.chosen if status.chosen != OFFLINE else chosen, status.status_msg, active=False
            )
        elif presence is not None and chosen != status.presence and not self._is_idle(status, now):
            self._change(status, chosen, status.status_msg, active=False)
        if self._sweep_timer is None:
            self._sweep_timer = self._clock.call_later(SWEEP_S, self._sweep)

    def sync_ended(self, user_id: UserID, presence: str | None) -> None:
        """The poll was answered, or its client went away."""
        if presence == OFFLINE:
            return
        status = self._users.get(user_id)
        if status is not None and status.syncs:
            status.syncs -= 1
            status.synced_at = self._clock.seconds()

    def active(self, user_id: UserID) -> None:
        """A local user did something: sent an event, say."""
        status = self._users.get(user_id)
        if status is None:
            return
        status.active_at = self._clock.seconds()
        if status.presence == UNAVAILABLE and status.chosen == ONLINE:
            self._change(status, ONLINE, status.status_msg, active=True)

    def changed_since(self, position: int) -> Iterator[Status]:
        """Who changed after an ephemeral position, latest first; with 0, who is not offline."""
        if self.position <= position:
            return
        for status in reversed(self._users.values()):
            if status.position <= position:
                return
            if position or status.presence != OFFLINE:
                yield status

    def content(self, status: Status) -> dict[str, Any]:
        """The content of `m.presence`, and of the answer of `GET /presence`."""
        content: dict[str, Any] = {"presence": status.presence}
        now = self._clock.seconds()
        if status.active_at is not None:
            content["last_active_ago"] = max(int((now - status.active_at) * 1000), 0)
        if status.presence == ONLINE:
            content["currently_active"] = not self._is_idle(status, now)
        if status.status_msg is not None:
            content["status_msg"] = status.status_msg
        return content

    def stop(self) -> None:
        """Let the timers go."""
        for timer in (self._flush_timer, self._sweep_timer):
            if timer is not None and timer.active():
                timer.cancel()
        self._flush_timer = self._sweep_timer = None

    def _is_idle(self, status: Status, now: float) -> bool:
        return status.active_at is None or now - status.active_at > IDLE_S

    def _status(self, user_id: UserID) -> Status:
        status = self._users.get(user_id)
        if status is None:
            status = self._users[user_id] = Status(user_id)
            self._users.move_to_end(user_id, last=False)
            if len(self._users) > MAX_USERS:
                self._users.popitem(last=False)
        return status

    def _change(self, status: Status, presence: str, status_msg: str | None, *, active: bool) -> None:
        if active:
            status.active_at = self._clock.seconds()
        if presence == status.presence and status_msg == status.status_msg:
            return
        status.presence, status.status_msg = presence, status_msg
        self._dirty[status.user_id] = status
        if self._flush_timer is None:
            wait = max(BATCH_S, self._next_flush - self._clock.seconds())
            self._flush_timer = self._clock.call_later(wait, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        dirty, self._dirty = self._dirty, {}
        self.position = self._stream.advance()
        for user_id, status in dirty.items():
            status.position = self.position
            self._users[user_id] = status
            self._users.move_to_end(user_id)
        woken = self._wake(list(dirty))
        self._next_flush = self._clock.seconds() + woken * COST_OF_WAKING
        local = [status for status in dirty.values() if server_of(status.user_id) == self._server_name]
        if local:
            for listener in self._local_changed:
                listener(local)

    def _sweep(self) -> None:
        """Users who sync no more become offline, those who do nothing unavailable."""
        self._sweep_timer = None
        now = self._clock.seconds()
        present = False
        for status in list(self._users.values()):
            if status.presence == OFFLINE or server_of(status.user_id) != self._server_name:
                continue
            if not status.syncs and now - status.synced_at > SYNC_GRACE_S:
                self._change(status, OFFLINE, status.status_msg, active=False)
                continue
            present = True
            if status.presence == ONLINE and self._is_idle(status, now):
                self._change(status, UNAVAILABLE, status.status_msg, active=False)
        if present:
            self._sweep_timer = self._clock.call_later(SWEEP_S, self._sweep)
