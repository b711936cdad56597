"""Presence: who is here. Kept in memory, derived from live syncs, told in batches.

Each device of a local user says how it is, by `PUT` or with its syncs; what they make of the user together is judged
when one of them says something, and again by the clock. What changed collects for a moment, is given positions, and
wakes those whom it concerns; the more it wakes, the longer the next batch has to wait, so that however many come and go
at once, presence takes a small share of the processor.

https://spec.matrix.org/v1.19/client-server-api/#presence
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil
from typing import Any

import orjson

from homeserver.clock import Clock, Timer
from homeserver.protocol.errors import Forbidden, InvalidParam
from homeserver.protocol.identifiers import ServerName, UserID, server_of
from homeserver.protocol.presence import BUSY, OFFLINE, ONLINE, UNAVAILABLE, merged, parse_presence
from homeserver.protocol.requester import Requester
from homeserver.services.ephemeral_stream import EphemeralStream
from homeserver.services.presence_model import (
    BATCH_S,
    COST_OF_TELLING,
    COST_OF_WAKING,
    ELSEWHERE,
    IDLE_S,
    LOOK_S,
    MAX_STATUS,
    MAX_USERS,
    REMOTE_S,
    REPEAT_S,
    SYNC_GRACE_S,
    TICK_S,
    Audience,
    Device,
    LocalListener,
    Share,
    Status,
    content_of,
    is_active,
)


class Presence:
    """The presence of local users, and of others as their servers tell it. Where it is not enabled, everybody is
    offline.
    """

    def __init__(
        self, server_name: ServerName, stream: EphemeralStream, clock: Clock, *, enabled: bool = True
    ) -> None:
        self.enabled = enabled
        self._server_name = server_name
        self._stream = stream
        self._clock = clock
        self._users: OrderedDict[UserID, Status] = OrderedDict()
        self._strangers: OrderedDict[UserID, Status] = OrderedDict()
        self._devices: dict[UserID, dict[str, Device]] = {}
        self._dirty: dict[UserID, Status] = {}
        self._notable: set[UserID] = set()
        self._wheel: dict[int, list[Status]] = {}
        self._flush_timer: Timer | None = None
        self._wheel_timer: Timer | None = None
        self._next_flush = 0.0
        self._audience: Audience | None = None
        self._local_changed: list[LocalListener] = []
        self._judged: list[Callable[[Status], None]] = []
        self.position = 0
        """The ephemeral position of the last change."""

    def __len__(self) -> int:
        """Of how many users something is known."""
        return len(self._users)

    def tell(self, audience: Audience) -> None:
        """Set who is told of changes."""
        self._audience = audience

    def when_local_changed(self, listener: LocalListener) -> None:
        """Call with local users whose presence changed, in batches, and now and then with those who are here: what
        other servers may be told.
        """
        self._local_changed.append(listener)

    def when_judged(self, listener: Callable[[Status], None]) -> None:
        """Call with each user of whom this node learns, or has looked at the devices: other nodes may not know."""
        self._judged.append(listener)

    def put(self, who: Requester, user_id: UserID, presence: str, status_msg: str | None) -> None:
        """A user sets their own presence, as the device has it that they use. Raises Forbidden, InvalidParam."""
        if who.user_id != user_id:
            raise Forbidden("You can only set your own presence")
        chosen = parse_presence(presence)
        if chosen is None:
            raise InvalidParam("`presence` must be online, unavailable or offline")
        if status_msg is not None and len(status_msg) > MAX_STATUS:
            raise InvalidParam(f"`status_msg` may have at most {MAX_STATUS} characters")
        if not self.enabled:
            return
        now, status = self._clock.seconds(), self._status(user_id)
        device = self._device(who, now)
        device.chosen, device.seen_at = chosen, now
        if chosen in (ONLINE, BUSY):
            status.active_at = now
        if status_msg != status.status_msg:
            status.said_ms = self._clock.now_ms()
        self._judge(status, now, status_msg)

    def of(self, user_id: UserID) -> Status:
        """The presence of a user; offline for those of whom nothing is known."""
        return self._users.get(user_id) or Status(user_id)

    def receive(
        self, user_id: UserID, presence: str, status_msg: str | None, last_active_ago_ms: int | None
    ) -> None:
        """The presence of a user of another server, from an EDU of that server."""
        state = parse_presence(presence)
        if not self.enabled or state is None or (status_msg is not None and len(status_msg) > MAX_STATUS):
            return
        now, status = self._clock.seconds(), self._status(user_id)
        status.heard_at = now
        if last_active_ago_ms is not None:
            status.active_at = now - max(last_active_ago_ms, 0) / 1000
        self._change(status, state, status_msg, now)
        self._watch(status, now + REMOTE_S)
        for listener in self._judged:
            listener(status)

    def resume(self, user_id: UserID, presence: str, status_msg: str | None, active_at: float | None) -> None:
        """How a local user was before the server was started: they may come back."""
        if user_id in self._users or parse_presence(presence) is None:
            return
        now, status = self._clock.seconds(), self._status(user_id)
        status.active_at = active_at
        if presence != OFFLINE:
            self._devices[user_id] = {ELSEWHERE: Device(now)}
            self._devices[user_id][ELSEWHERE].chosen = presence
        self._judge(status, now, status_msg)

    def sync_began(self, who: Requester, presence: str | None) -> None:
        """A client polls, and says how it is; by polling, it says that it is online."""
        if presence == OFFLINE or not self.enabled:
            return
        now, status = self._clock.seconds(), self._status(who.user_id)
        new = who.device_id not in self._devices.get(who.user_id, ())
        came = new and not self.is_elsewhere(who.user_id)
        device = self._device(who, now)
        before = device.chosen
        device.syncs += 1
        device.seen_at = now
        if presence is not None and before != BUSY:
            device.chosen = parse_presence(presence) or ONLINE
        elif before == OFFLINE:
            device.chosen = ONLINE
        if came or (device.chosen != before and device.chosen in (ONLINE, BUSY)):
            status.active_at = now
        if new or device.chosen != before:
            self._judge(status, now, status.status_msg, notable=False)

    def sync_ended(self, who: Requester, presence: str | None) -> None:
        """The poll was answered, or its client went away."""
        device = self._devices.get(who.user_id, {}).get(who.device_id or "")
        if presence != OFFLINE and device is not None and device.syncs:
            device.syncs -= 1
            device.seen_at = self._clock.seconds()

    def active(self, user_id: UserID) -> None:
        """A local user did something: sent an event, say."""
        if user_id in self._devices:
            now, status = self._clock.seconds(), self._users[user_id]
            status.active_at = now
            if status.presence == UNAVAILABLE or not status.told_active:
                self._judge(status, now, status.status_msg, notable=False)

    # Other nodes.

    def share(self, status: Status) -> Share:
        """What this node has to say of a user."""
        local, user_id = self._is_local(status), status.user_id
        presence = status.presence
        if local:
            devices = self._devices.get(user_id, {}).items()
            presence = merged(each.chosen for name, each in devices if not name.startswith(ELSEWHERE))
        return Share(user_id, presence, status.status_msg, status.said_ms, status.active_at, local)

    def shares(self) -> list[Share]:
        """All that there is to say."""
        shares = [self.share(status) for status in self._users.values()]
        return [each for each in shares if each.presence != OFFLINE or each.said_ms]

    def is_elsewhere(self, user_id: UserID) -> bool:
        """Whether all devices of a user talk to other nodes."""
        names = self._devices.get(user_id, ())
        return bool(names) and all(name.startswith(ELSEWHERE) and name != ELSEWHERE for name in names)

    def hear(self, node: str, share: Share) -> None:
        """What another node has to say of a user."""
        state = parse_presence(share.presence)
        if not self.enabled or state is None:
            return
        now, status = self._clock.seconds(), self._status(share.user_id)
        if share.active_at is not None:
            status.active_at = max(share.active_at, status.active_at or share.active_at)
        if not share.local:
            status.heard_at = now
            self._change(status, state, share.status_msg, now)
            self._watch(status, now + REMOTE_S)
            return
        status_msg, said = status.status_msg, share.said_ms > status.said_ms
        if said:
            status.said_ms, status_msg = share.said_ms, share.status_msg
        devices, name = self._devices.setdefault(share.user_id, {}), ELSEWHERE + node
        if state == OFFLINE:
            devices.pop(name, None)
        else:
            device = devices.setdefault(name, Device(now))
            device.chosen, device.syncs = state, 1  # until the node says otherwise, or is gone
        self._judge(status, now, status_msg, notable=said)

    def lose(self, node: str) -> None:
        """Another node is gone: its users have a while to come back elsewhere."""
        now, name = self._clock.seconds(), ELSEWHERE + node
        for devices in self._devices.values():
            if (device := devices.get(name)) is not None:
                device.syncs, device.seen_at = 0, now

    def changed_since(self, position: int) -> Iterator[Status]:
        """Who changed after an ephemeral position, latest first; with a negative one, who is not offline."""
        return self._since(self._users, position)

    def strangers_since(self, position: int) -> Iterator[Status]:
        """The same, of those of whom nothing was known in memory but this."""
        return self._since(self._strangers, position)

    def some_since(self, user_ids: Iterable[UserID], position: int) -> Iterator[Status]:
        """The same, of some users, in no order."""
        known = self._users
        for user_id in user_ids:
            status = known.get(user_id)
            if status is not None and status.position > max(position, 0):
                if position >= 0 or status.presence != OFFLINE:
                    yield status

    def content(self, status: Status) -> dict[str, Any]:
        """The content of `m.presence`, and of the answer of `GET /presence`."""
        return content_of(status, self._clock.seconds())

    def event(self, status: Status) -> bytes:
        """The event `m.presence` of a user: made once a second for all who see it."""
        second = int(self._clock.seconds())
        if status.shown is None or status.shown[0] != second:
            shown = {"type": "m.presence", "sender": status.user_id, "content": self.content(status)}
            status.shown = (second, orjson.dumps(shown))
        return status.shown[1]

    def stop(self) -> None:
        """Let the timers go."""
        for timer in (self._flush_timer, self._wheel_timer):
            if timer is not None and timer.active():
                timer.cancel()
        self._flush_timer = self._wheel_timer = None

    def _since(self, users: OrderedDict[UserID, Status], position: int) -> Iterator[Status]:
        if self.position <= position:
            return
        for status in reversed(users.values()):
            if status.position <= max(position, 0):
                return
            if position >= 0 or status.presence != OFFLINE:
                yield status

    def _status(self, user_id: UserID) -> Status:
        status = self._users.get(user_id)
        if status is None:
            if len(self._users) >= MAX_USERS:
                self._forget_one()
            status = self._users[user_id] = Status(user_id)
            self._users.move_to_end(user_id, last=False)
        return status

    def _forget_one(self) -> None:
        """Forget the user who has been offline for longest."""
        for user_id, status in self._users.items():
            if status.presence == OFFLINE and user_id not in self._devices and user_id not in self._dirty:
                self._stream.forget(status.position)
                self._strangers.pop(user_id, None)
                del self._users[user_id]
                return

    def _device(self, who: Requester, now: float) -> Device:
        devices = self._devices.setdefault(who.user_id, {})
        name = who.device_id or ""
        device = devices.get(name)
        if device is None:
            device = devices[name] = Device(now)
        return device

    def _judge(self, status: Status, now: float, status_msg: str | None, *, notable: bool = True) -> float:
        """See what a local user's devices say of them; gives when to look again."""
        due = now + LOOK_S
        devices = self._devices.get(status.user_id, {})
        for name, device in list(devices.items()):
            if device.syncs:
                continue
            if now > device.seen_at + SYNC_GRACE_S:
                del devices[name]
            else:
                due = min(due, device.seen_at + SYNC_GRACE_S)
        presence = merged(device.chosen for device in devices.values())
        if presence == ONLINE and not is_active(status, now, IDLE_S):
            presence = UNAVAILABLE
        self._change(status, presence, status_msg, now, notable=notable)
        for listener in self._judged:
            listener(status)
        if devices:
            self._watch(status, due)
        else:
            self._devices.pop(status.user_id, None)
        return due

    def _change(
        self, status: Status, presence: str, status_msg: str | None, now: float, *, notable: bool = True
    ) -> None:
        if (presence, status_msg) == (status.presence, status.status_msg):
            if presence != ONLINE or status.told_active == is_active(status, now):
                return
        status.presence, status.status_msg = presence, status_msg
        self._dirty[status.user_id] = status
        if notable:
            self._notable.add(status.user_id)
        if self._flush_timer is None:
            wait = max(BATCH_S, self._next_flush - now)
            self._flush_timer = self._clock.call_later(wait, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        dirty, self._dirty = self._dirty, {}
        notable, self._notable = self._notable, set()
        now, audience = self._clock.seconds(), self._audience
        for user_id, status in dirty.items():
            status.position = self.position = self._stream.advance()
            if user_id in notable:
                status.notable = status.position
            status.told_active = is_active(status, now)
            status.shown = None
            self._users.move_to_end(user_id)
            self._strangers.pop(user_id, None)
            if audience is None or audience.is_stranger(user_id):
                self._strangers[user_id] = status
        woken, told = (0, 0) if audience is None else audience.wake(list(dirty))
        self._next_flush = now + woken * COST_OF_WAKING + told * COST_OF_TELLING
        self._tell_servers(list(dirty.values()), now)

    def _tell_servers(self, statuses: Sequence[Status], now: float) -> None:
        local = [status for status in statuses if self._is_local(status)]
        for status in local:
            status.heard_at = now
        if local:
            for listener in self._local_changed:
                listener(local)

    def _is_local(self, status: Status) -> bool:
        return server_of(status.user_id) == self._server_name

    # The clock: who has to be looked at when.

    def _watch(self, status: Status, due: float) -> None:
        """Look at a user again, unless that will happen anyway."""
        if not status.watched:
            status.watched = True
            self._wheel.setdefault(ceil(due / TICK_S), []).append(status)
            if self._wheel_timer is None:
                self._wheel_timer = self._clock.call_later(TICK_S, self._turn)

    def _turn(self) -> None:
        self._wheel_timer = None
        now = self._clock.seconds()
        again = []
        for tick in [tick for tick in self._wheel if tick * TICK_S <= now]:
            for status in self._wheel.pop(tick):
                status.watched = False
                if not self._is_local(status):
                    self._look_at_remote(status, now)
                    continue
                self._judge(status, now, status.status_msg)
                if status.presence != OFFLINE and now >= status.heard_at + REPEAT_S:
                    again.append(status)
        if again:
            self._tell_servers(again, now)
        if self._wheel and self._wheel_timer is None:
            self._wheel_timer = self._clock.call_later(TICK_S, self._turn)

    def _look_at_remote(self, status: Status, now: float) -> None:
        if now >= status.heard_at + REMOTE_S:
            self._change(status, OFFLINE, status.status_msg, now)
        elif status.presence != OFFLINE:
            self._watch(status, status.heard_at + REMOTE_S)
