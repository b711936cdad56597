"""Presence between the nodes of one server: each says what the devices that talk to it make of their users, and what
other servers told it of theirs. Whoever comes is told all; the devices of a node that is gone count until their users
had time to come back elsewhere.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import DecodeError, Struct
from msgspec.json import Decoder, Encoder

from homeserver.bus import Bus, Node, RollCall
from homeserver.clock import Clock, Timer
from homeserver.protocol.identifiers import UserID
from homeserver.protocol.presence import OFFLINE
from homeserver.services.presence import Presence
from homeserver.services.presence_model import MAX_USERS, Share, Status

log = structlog.get_logger(__name__)

PRESENCE: Final = "presence"
BATCH_S: Final = 0.05
"""Changes of so many seconds are told together."""
SHARE_S: Final = 20.0
"""So often, at most, others are told that a user is still active."""
AT_ONCE: Final = 1000


class _Told(Struct, frozen=True, array_like=True):
    """Times are of the clock on the wall; ``said_ms``: when the user said what they say of themselves."""

    user_id: UserID
    presence: str
    status_msg: str | None
    said_ms: int
    active_ms: int | None
    local: bool


_ENCODER: Final = Encoder()
_DECODER: Final = Decoder(list[_Told])


class PresenceNodes:
    """Both directions."""

    def __init__(self, bus: Bus, presence: Presence, clock: Clock) -> None:
        self._bus = bus
        self._presence = presence
        self._clock = clock
        self._shared: dict[UserID, Share] = {}
        """What others were told of users who are here, or were when they were told last."""
        self._news: dict[UserID, Share] = {}
        self._timer: Timer | None = None

    def connect(self, roll: RollCall) -> None:
        """Tell others from now on, and who comes what is known."""
        self._presence.when_judged(self._judged)
        self._bus.subscribe(PRESENCE, self._heard)
        roll.when_somebody_came(self._tell_all)
        roll.when_gone(self._presence.lose)

    def stop(self) -> None:
        """Tell nothing more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _judged(self, status: Status) -> None:
        share = self._presence.share(status)
        if share.local and not _is_news(share, self._shared.get(share.user_id)):
            return
        if share.local:
            if len(self._shared) > MAX_USERS:
                self._shared = {user: each for user, each in self._shared.items() if each.presence != OFFLINE}
            self._shared[share.user_id] = share
        self._news[share.user_id] = share
        if self._timer is None:
            self._timer = self._clock.call_later(BATCH_S, self._flush)

    def _flush(self) -> None:
        self._timer = None
        news, self._news = self._news, {}
        self._publish(list(news.values()))

    def _tell_all(self) -> None:
        self._publish(self._presence.shares())

    def _publish(self, shares: Sequence[Share]) -> None:
        for start in range(0, len(shares), AT_ONCE):
            told = [self._told(share) for share in shares[start : start + AT_ONCE]]
            self._bus.publish(PRESENCE, _ENCODER.encode(told))

    def _told(self, share: Share) -> _Told:
        active = share.active_at
        at_ms = (
            None if active is None else self._clock.now_ms() - int((self._clock.seconds() - active) * 1000)
        )
        return _Told(share.user_id, share.presence, share.status_msg, share.said_ms, at_ms, share.local)

    def _heard(self, node: Node, message: bytes) -> None:
        try:
            told = _DECODER.decode(message)
        except DecodeError:
            log.warning("presence of another node cannot be understood", node=node)
            return
        now, now_ms = self._clock.seconds(), self._clock.now_ms()
        for each in told:
            active = None if each.active_ms is None else now - max(now_ms - each.active_ms, 0) / 1000
            share = Share(each.user_id, each.presence, each.status_msg, each.said_ms, active, each.local)
            self._presence.hear(node, share)


def _is_news(share: Share, told: Share | None) -> bool:
    """Whether others cannot know what there is to say. Of who is active they are told again every now and then."""
    if told is None:
        return share.presence != OFFLINE or bool(share.said_ms)
    if (told.presence, told.said_ms) != (share.presence, share.said_ms):
        return True
    return share.presence != OFFLINE and (share.active_at or 0.0) >= (told.active_at or 0.0) + SHARE_S
