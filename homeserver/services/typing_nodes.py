"""Typing notices between the nodes of one server: each says what it hears of, with how long that holds; so a notice
ends even if the node that heard of it is no more.
"""

from collections.abc import Iterable
from typing import Final

import structlog
from msgspec import DecodeError, Struct
from msgspec.json import Decoder, Encoder

from homeserver.bus import Bus, Node, RollCall
from homeserver.clock import Clock, Timer
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.typing import Typing

log = structlog.get_logger(__name__)

TYPING: Final = "typing"
BATCH_S: Final = 0.02
"""Notices of so many seconds are told together."""
AT_ONCE: Final = 1000


class Notice(Struct, frozen=True, array_like=True):
    """Somebody types, for so long at most; not at all with 0."""

    room_id: RoomID
    user_id: UserID
    timeout_ms: int


_ENCODER: Final = Encoder()
_DECODER: Final = Decoder(list[Notice])


class TypingNodes:
    """Both directions."""

    def __init__(self, bus: Bus, typing: Typing, clock: Clock) -> None:
        self._bus = bus
        self._typing = typing
        self._clock = clock
        self._news: dict[tuple[RoomID, UserID], int] = {}
        self._timer: Timer | None = None

    def connect(self, roll: RollCall) -> None:
        """Tell others from now on, and who comes what is known."""
        self._typing.when_set(self._note)
        self._bus.subscribe(TYPING, self._heard)
        roll.when_somebody_came(self._tell_all)

    def stop(self) -> None:
        """Tell nothing more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _note(self, room_id: RoomID, user_id: UserID, timeout_ms: int) -> None:
        self._news[room_id, user_id] = timeout_ms
        if self._timer is None:
            self._timer = self._clock.call_later(BATCH_S, self._flush)

    def _flush(self) -> None:
        self._timer = None
        news, self._news = self._news, {}
        self._publish([Notice(room, user, timeout) for (room, user), timeout in news.items()])

    def _tell_all(self) -> None:
        self._publish([Notice(*each) for each in self._typing.everybody()])

    def _publish(self, notices: Iterable[Notice]) -> None:
        left = list(notices)
        for start in range(0, len(left), AT_ONCE):
            self._bus.publish(TYPING, _ENCODER.encode(left[start : start + AT_ONCE]))

    def _heard(self, node: Node, message: bytes) -> None:
        try:
            notices = _DECODER.decode(message)
        except DecodeError:
            log.warning("typing notices of another node cannot be understood", node=node)
            return
        for notice in notices:
            self._typing.hear(notice.room_id, notice.user_id, notice.timeout_ms)
