"""Time, chance and threads as parameters: what everything above the protocol asks for instead of a clock."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Timer(Protocol):
    """A call that is due later and can still be taken back."""

    def cancel(self) -> None:
        """Take the call back; an error if it was made already."""

    def active(self) -> bool:
        """Whether the call is still to come."""


class Clock(Protocol):
    """Wall time for what is stored or shown, monotonic time for what is measured."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, the unit of the specification's timestamps."""

    def seconds(self) -> float:
        """Return seconds from an arbitrary start; never runs backwards."""

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: object) -> Timer:
        """Call the function after so many seconds."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds; cancelled with the coroutine that waits."""


class Randomness(Protocol):
    """Everything that must not be guessable, and everything that must be repeatable in a test."""

    def token(self, nbytes: int) -> str:
        """Return `nbytes` of chance as unpadded URL-safe base64."""

    def letters(self, count: int) -> str:
        """Return so many letters, upper and lower case."""

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options."""

    def uniform(self, low: float, high: float) -> float:
        """Return a number between the two."""


class OffReactor(Protocol):
    """Runs a function that computes for long on a thread."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...
