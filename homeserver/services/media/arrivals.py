"""Who waits for content that is still to be uploaded."""

from typing import Final

from twisted.internet.defer import Deferred

from homeserver.clock import Clock
from homeserver.services.media.model import MediaName

LOOK_AGAIN_S: Final = 1.0
"""What is uploaded through another node is noticed so late."""


class Arrivals:
    """Wakes them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[MediaName, list[Deferred[None]]] = {}

    async def wait(self, name: MediaName, seconds: float) -> None:
        """Return when the content may be there, at the latest after so many seconds."""
        waiting: Deferred[None] = Deferred()
        self._waiting.setdefault(name, []).append(waiting)
        timer = self._clock.call_later(min(seconds, LOOK_AGAIN_S), waiting.callback, None)
        try:
            await waiting
        finally:
            if timer.active():
                timer.cancel()
            others = self._waiting.get(name, [])
            if waiting in others:
                others.remove(waiting)
            if not others:
                self._waiting.pop(name, None)

    def arrived(self, name: MediaName) -> None:
        """The content is there."""
        for waiting in self._waiting.pop(name, []):
            if not waiting.called:
                waiting.callback(None)
