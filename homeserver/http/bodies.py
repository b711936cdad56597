"""A request's body that is read while it arrives, no faster than its reader takes it: for uploads."""

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

HIGH_WATER: Final = 256 * 1024
"""So many bytes may wait for the reader before the client is held back."""


class BodyStream:
    """The pieces of one body, in order: `async for piece in body`.

    Reading raises what the body failed with: TooLarge, or CancelledError when the client went away.
    """

    __slots__ = ("_failed", "_go_on", "_held", "_hold", "_pieces", "_waiting", "_whole", "_woken", "length")

    def __init__(self, length: int | None, hold: Callable[[], None], go_on: Callable[[], None]) -> None:
        """`length` is what the client announced, None when it did not. `hold` and `go_on` stop and start it."""
        self.length = length
        self._hold = hold
        self._go_on = go_on
        self._held = False
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._whole = False
        self._failed: BaseException | None = None
        self._woken: Deferred[None] | None = None

    def feed(self, data: bytes) -> None:
        """Take a piece that arrived."""
        if self._failed is not None:
            return
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting > HIGH_WATER and not self._held:
            self._held = True
            self._hold()
        self._wake()

    def finish(self) -> None:
        """All of it has arrived."""
        self._whole = True
        self._wake()

    def fail(self, error: BaseException) -> None:
        """No more of it will be read."""
        if not self._whole:
            self._failed = error
            self._pieces.clear()
            self._wake()

    def __aiter__(self) -> "BodyStream":
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces and not self._whole and self._failed is None:
            self._woken = Deferred()
            await self._woken
        if self._failed is not None:
            raise self._failed
        if not self._pieces:
            raise StopAsyncIteration
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting = 0
        if self._held:
            self._held = False
            self._go_on()
        return data

    def _wake(self) -> None:
        woken, self._woken = self._woken, None
        if woken is not None and not woken.called:
            woken.callback(None)
