"""Asking several servers for the same, without waiting long for any of them.

A server that does not answer would hold up a join for as long as its connection takes to fail. So the next one is asked
already when the ones before it have refused, or have not answered for a while; what they answer later still counts.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from homeserver.clock import Clock, Timer
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import ServerName

__all__ = ["PATIENCE_S", "AskingAround"]

T = TypeVar("T")

PATIENCE_S: Final = 3.0
"""So long a server is waited for before the next one is asked as well."""


class AskingAround(Generic[T]):
    """What servers answer to a question, in the order in which they do."""

    def __init__(
        self,
        clock: Clock,
        servers: Sequence[ServerName],
        ask: Callable[[ServerName], Coroutine[Deferred[Any], Any, T]],
    ) -> None:
        self._clock = clock
        self._left = deque(servers)
        self._ask = ask
        self._asked: dict[ServerName, Deferred[None]] = {}
        self._answers: deque[tuple[ServerName, T | MatrixError]] = deque()
        self._bugs: list[Exception] = []
        self._waiting: Deferred[bool] | None = None

    async def next(self) -> tuple[ServerName, T | MatrixError] | None:
        """The next server that answered, and its answer or why there is none; None: there are no more servers."""
        while not self._answers:
            if self._bugs:
                raise self._bugs.pop()
            if self._asked:
                await self._something_happens()
            elif self._left:
                self._ask_next()
            else:
                return None
        return self._answers.popleft()

    def stop(self) -> None:
        """Ask no more, and do not wait for who was asked."""
        self._left.clear()
        for asked in list(self._asked.values()):
            asked.cancel()

    async def _something_happens(self) -> None:
        self._waiting = Deferred()
        timer: Timer | None = None
        if self._left:
            timer = self._clock.call_later(PATIENCE_S, self._waiting.callback, True)
        try:
            impatient = await self._waiting
        finally:
            self._waiting = None
            if timer is not None and timer.active():
                timer.cancel()
        if impatient and self._left:
            self._ask_next()

    def _ask_next(self) -> None:
        server = self._left.popleft()
        asked = self._asked[server] = Deferred.fromCoroutine(self._answer(server))
        if asked.called:
            self._asked.pop(server, None)

    async def _answer(self, server: ServerName) -> None:
        try:
            self._answers.append((server, await self._ask(server)))
        except MatrixError as error:
            self._answers.append((server, error))
        except CancelledError:
            pass
        except Exception as error:
            self._bugs.append(error)
        self._asked.pop(server, None)
        if self._waiting is not None and not self._waiting.called:
            self._waiting.callback(False)
