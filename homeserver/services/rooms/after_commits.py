"""What has to be done about rooms after commits, without that whoever caused it waits for it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Final, Generic, TypeVar

import structlog
from twisted.internet.defer import Deferred

from homeserver.clock import Clock
from homeserver.services.rooms.persist import RoomCommit
from storage.journal import Journal, Landed

log = structlog.get_logger(__name__)

T = TypeVar("T")

_RETRY_S: Final = 5.0


class AfterCommits(ABC, Generic[T]):
    """Collects what the commits of this node ask for, and does it, all of one moment together. What is on record when a
    node starts is done then: so nothing is forgotten when one dies.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._clock = clock
        self._wanted: set[T] = set()
        self._busy = False
        self.running = False
        journal.listen(self._landed)

    async def start(self) -> None:
        """Begin, with what is on record."""
        self._wanted.update(await self._on_record())
        self.running = True
        self._go_on()

    def stop(self) -> None:
        """Begin nothing more."""
        self.running = False

    @abstractmethod
    async def _on_record(self) -> Iterable[T]:
        """What is to be done yet."""

    @abstractmethod
    def _asked(self, commit: RoomCommit) -> Iterable[T]:
        """What a commit asks for."""

    @abstractmethod
    async def _do(self, wanted: list[T]) -> None:
        """Do it."""

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        for _, payload, _ in landed:
            if isinstance(payload, RoomCommit):
                self._wanted.update(self._asked(payload))
        self._go_on()

    def _go_on(self) -> None:
        if self._wanted and self.running and not self._busy:
            self._busy = True
            _ = Deferred.fromCoroutine(self._work())

    async def _work(self) -> None:
        try:
            while self._wanted and self.running:
                wanted = list(self._wanted)
                self._wanted.clear()
                try:
                    await self._do(wanted)
                except Exception:
                    log.exception("what has to follow commits could not be done", work=type(self).__name__)
                    self._wanted.update(wanted)
                    await self._clock.sleep(_RETRY_S)
        finally:
            self._busy = False
